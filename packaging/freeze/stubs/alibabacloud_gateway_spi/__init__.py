"""Stands in for the SDK's gateway plug-ins: none is ever set, and the client only names them."""
