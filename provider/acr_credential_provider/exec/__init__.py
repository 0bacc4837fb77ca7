"""The exec plugin behind a cache miss, and the Docker credential helper. Imports tokens only when a token is needed."""
