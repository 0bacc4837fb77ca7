"""The names by which the controller's objects are known in the cluster."""

from __future__ import annotations

import re

from acr_credential_provider.version import NAME

PREFIX = NAME
SECRET_TYPE = "kubernetes.io/dockerconfigjson"  # noqa: S105 - a type
SECRET_KEY = ".dockerconfigjson"  # noqa: S105 - a key
TEMPORARY_USER = "cr_temp_user"
"""The user name of all tokens that ACR grants."""
LABEL = f"{PREFIX}/pull-secret"
"""The label that says that a Secret is ours, to be changed and deleted; its value is "true"."""
LABELS = {LABEL: "true", "app.kubernetes.io/managed-by": PREFIX}
SWITCH = f"{PREFIX}/pull-secrets"
"""Label or annotation of a Namespace or ServiceAccount; ``disabled`` keeps it out, whatever the settings say."""
TOKENS_NAME = f"{PREFIX}-tokens"
"""The state Secret in the controller's own namespace; every replica watches it."""
LEASE_NAME = f"{PREFIX}-pull-secrets"
FIELD_MANAGER = f"{PREFIX}-pull-secrets"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)


def is_name(text: str) -> bool:
    """True if *text* is a valid name of a Secret.

    In an imagePullSecrets list the API server takes any text, none at all included: no entry that fails here is ours.
    """
    return _NAME.fullmatch(text) is not None


HELPER = "aliyun-acr-credential-helper"
"""The Deployment (in kube-system) that keeps pull secrets in an ACK cluster without us."""
HELPER_SECRETS = ("acr-credential-secret-aggregation", "aliyun-acr-credential-a", "aliyun-acr-credential-b")
"""The Secrets that it attaches to ServiceAccounts: since 2021 one for all instances, before that one for each."""
