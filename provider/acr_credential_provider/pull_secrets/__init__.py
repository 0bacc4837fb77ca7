"""The fallback controller: keeps a Secret per namespace and the ServiceAccounts' imagePullSecrets right."""
