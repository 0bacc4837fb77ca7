"""Alibaba Cloud's APIs: the only place that opens a network connection."""
