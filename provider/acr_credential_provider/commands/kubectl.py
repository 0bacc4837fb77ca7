"""The same program as a plugin of kubectl: `kubectl acr COMMAND`, with short words for what operators of clusters do.

kubectl runs ``kubectl-acr``, a script beside the controller's program, which hands over `WORD` and what was typed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WORD = "kubectl"
DESCRIPTION = "Looks after Alibaba Cloud Container Registry (ACR) pull credentials in a cluster."
EXAMPLES = """examples:
  kubectl acr doctor                             # finds why pulls fail in the cluster of the current context
  kubectl acr status
  kubectl acr plan --settings settings.yaml      # what the pull-secrets controller would do; writes nothing
  kubectl acr uninstall --namespace kube-system  # after the controller's Deployment was deleted
  kubectl acr convert acr-configuration.yaml
"""
SHORT = {
    "plan": (("pull-secrets", "plan"), "say what the pull-secrets controller would do; writes nothing"),
    "uninstall": (("pull-secrets", "uninstall"), "take away all that the pull-secrets controller wrote"),
    "convert": (("settings", "convert"), "write an acr-configuration ConfigMap as native settings"),
    "validate": (("settings", "validate"), "report all problems of a settings file"),
}
"""Short words, the commands that they are, and their help."""


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """Return *arguments* with a short word at their start spelled out.

    >>> spelled_out(["plan", "--output", "json"]), spelled_out(["doctor"])
    (['pull-secrets', 'plan', '--output', 'json'], ['doctor'])
    """
    if not arguments or arguments[0] not in SHORT:
        return list(arguments)
    return [*SHORT[arguments[0]][0], *arguments[1:]]
