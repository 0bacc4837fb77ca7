"""Alibaba Cloud's official SDKs judge the ACR sandbox: each runs the protocol's cases, unchanged, from its
registry. Clients of registries do the same with the sandbox's registry."""
