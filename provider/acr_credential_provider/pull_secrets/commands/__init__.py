"""pull-secrets run, plan and uninstall. Imports all of pull_secrets."""
