"""CredentialProviderConfig: read, validate, edit in place. Imports model."""
