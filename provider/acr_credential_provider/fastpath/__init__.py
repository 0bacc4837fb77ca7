"""A cache hit: answers from a file on disk with built-in modules only. Imports nothing else of ours."""
