"""Replaces the community hook, which ships OpenSSL's modules and cffi: a stand-in needs none of it."""
