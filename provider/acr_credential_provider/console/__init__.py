"""Shared by the command lines: arguments, checks and their results, build information. Imports settings and below."""
