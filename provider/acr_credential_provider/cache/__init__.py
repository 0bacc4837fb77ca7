"""The cache folder: answers, failures, tokens, and the locks around them. Imports fastpath and model."""
