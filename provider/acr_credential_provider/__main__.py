"""Runs the package: python -m acr_credential_provider."""
