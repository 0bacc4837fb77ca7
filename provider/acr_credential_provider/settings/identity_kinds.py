"""What each kind of identity is able to do, and where.

A new kind is a model in `identities`, its fields in `runtime.Identity`, a line here, a builder in `sources.factory` and
its source. No other module asks which kind an identity has.
"""

from __future__ import annotations

from typing import NamedTuple

IMDS, OIDC = "imds", "oidc"


class IdentityKind(NamedTuple):
    """The traits of one kind.

    *session_from* is `IMDS` or `OIDC` (STS, for a ServiceAccount token) where a session has to be fetched.
    *key_files* are the fields that name files with secrets. *not_on_node* and *not_in_controller* are a reason
    and an alternative for an operator, and *needed_on_node* the optional fields that are mandatory on a node.
    """

    asks_cloud: bool = True
    is_of_pods: bool = False
    session_from: str = ""
    key_files: tuple[str, ...] = ()
    needed_on_node: tuple[str, ...] = ()
    not_on_node: tuple[str, str] | None = None
    not_in_controller: tuple[str, str] | None = None


_SECRET = "the kubelet may not read that Secret"  # noqa: S105 - a sentence
_PAIR = ("access_key_id_file", "access_key_secret_file")
KINDS = {
    "nodeRole": IdentityKind(session_from=IMDS),
    "accessKey": IdentityKind(key_files=_PAIR),
    "stsSession": IdentityKind(key_files=(*_PAIR, "security_token_file")),
    "serviceAccount": IdentityKind(
        is_of_pods=True, session_from=OIDC, not_in_controller=("only the kubelet has the pods' tokens", "Use rrsa.")
    ),
    "rrsa": IdentityKind(session_from=OIDC, needed_on_node=("role_arn", "oidc_provider_arn", "token_file")),
    "managedRole": IdentityKind(not_on_node=(_SECRET, "Use nodeRole or serviceAccount.")),
    "addonSecret": IdentityKind(
        not_on_node=(_SECRET, "Use accessKey, with its values in files that only root can read.")
    ),
    "basicAuth": IdentityKind(asks_cloud=False, key_files=("username_file", "password_file")),
}
