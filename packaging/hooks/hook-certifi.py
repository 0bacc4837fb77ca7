"""Replaces the community hook, which ships certifi's CA bundle: a stand-in has none (packaging/standins/certifi)."""
