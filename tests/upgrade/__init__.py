"""Upgrades: what an earlier version left on a node and in a cluster, the present one finds, keeps and gives back."""
