"""The Kubernetes API: client, informers, work queue, leader election, events. Imports model."""
