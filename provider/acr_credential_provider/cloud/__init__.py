"""Clients of Alibaba Cloud's APIs; no other folder opens connections to the cloud. Imports files and model only."""
