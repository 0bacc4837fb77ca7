"""The HTTP server, health, metrics and logs. Imports model and kube."""
