"""Stands in for certifi: trust comes from the node's own CA bundle, which its operator keeps."""

from left_out import left_out

where = left_out("certifi.where")
contents = left_out("certifi.contents")
