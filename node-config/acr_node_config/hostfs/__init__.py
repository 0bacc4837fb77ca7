"""The node's files and programs, reached below its root without trusting a path. Imports model."""
