"""Stands in for cryptography: the SDK needs it to sign with RSA keys only; we sign with HMAC."""
