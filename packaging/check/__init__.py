"""Checks a machine, a build or a commit: system packages, the same bytes twice, ready for a release."""
