"""Files that are safe to trust or to hold secrets: checked, replaced atomically, or in memory. Imports model only."""
