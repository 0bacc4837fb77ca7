"""Installs, rolls back and uninstalls in undoable steps, with a journal. Imports kubelet, placement and below."""
