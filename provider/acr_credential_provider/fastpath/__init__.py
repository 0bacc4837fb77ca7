"""Serves a cache hit from a file on disk, with built-in modules only. Imports nothing else of ours."""
