"""A small client of the Kubernetes API for nodes, of the standard library alone. Imports files and model."""
