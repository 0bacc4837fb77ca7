"""Finds out what a node is: kubelet, units, flags. Imports hostfs, kubelet_config and model."""
