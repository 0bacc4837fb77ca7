"""Registry tokens of Alibaba Cloud Container Registry (ACR) for the kubelet."""
