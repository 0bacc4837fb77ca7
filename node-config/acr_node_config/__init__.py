"""Installs the credential provider on nodes, keeps it there, and takes it away again.

It shares the plugin's values and the ways to find a kubelet; everything else it gets by running the installed binary.
"""
