"""Decides where the plugin goes on a node and how the kubelet learns of it. Pure. Imports kubelet_config and model."""
