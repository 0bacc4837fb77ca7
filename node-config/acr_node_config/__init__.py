"""Installs the credential provider on nodes; meets it in files and by exec, never by import."""
