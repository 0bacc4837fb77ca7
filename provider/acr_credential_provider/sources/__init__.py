"""Credential sources: one module each, one contract for all (`interface`). Imports cloud, settings, model, fastpath."""
