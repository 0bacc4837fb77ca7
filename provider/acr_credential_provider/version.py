"""The names and the version of the program."""

NAME = "aliyun-acr-credential-provider"
LOG_VARIABLE = b"ACR_CREDENTIAL_PROVIDER_LOG"
"""The environment variable that overrules the settings' log level."""
VERSION = "0.1.0"
KUBECTL_PLUGIN = "kubectl acr"
"""What operators type for the commands that work on a cluster: kubectl finds them in the program kubectl-acr."""
