"""CredentialProviderConfig: our entries, and edits in place. Imports model."""
