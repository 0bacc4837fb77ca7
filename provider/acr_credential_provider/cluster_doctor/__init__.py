"""doctor --cluster: reads a cluster's objects and names the causes of failing pulls. A leaf: no package imports it."""
