"""The privileged container of the DaemonSet: keeps the node installed. Imports hostfs, rollout and model."""
