"""The configuration in force, and the last good one. Imports model and kube."""
