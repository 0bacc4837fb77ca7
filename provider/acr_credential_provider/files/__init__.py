"""Files written safely: replaced atomically, or in memory only. Imports model only."""
