"""The kubelet's service and health: restart, probe, health gate. Imports discovery and below."""
