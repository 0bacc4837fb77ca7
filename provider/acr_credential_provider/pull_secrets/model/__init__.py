"""Values and rules of the controller. Knows no network, thread or clock."""
