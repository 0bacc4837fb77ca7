"""doctor --cluster: reads a cluster's objects and names what keeps pods from pulling. A leaf: no package imports it."""
