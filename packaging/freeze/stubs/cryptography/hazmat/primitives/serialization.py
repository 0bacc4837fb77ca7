"""Stands in for cryptography's key files."""

from left_out import left_out

load_pem_private_key = left_out("cryptography.hazmat.primitives.serialization.load_pem_private_key")
