"""The running kubelet: its process, its CredentialProviderConfig, how it matches images. Imports fastpath and model."""
