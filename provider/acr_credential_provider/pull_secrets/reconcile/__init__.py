"""The reconciler: desired state, workers, writes. Imports tokens and below."""
