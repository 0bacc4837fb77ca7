"""Stands in for the WebSocket helpers: no ACR or STS operation speaks WebSocket."""
