"""The unprivileged container of the DaemonSet: node condition, events, restart leases. Imports rollout."""
