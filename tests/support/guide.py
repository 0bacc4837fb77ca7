"""The RAM policies of docs/identities.md, filled in for the sandbox: what the guide says is what tests use."""

from __future__ import annotations

import copy
import json
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from sandbox.server import CLUSTER, INSTANCE_ID, PROVIDER_ARN, REGION
from sandbox.state import ACCOUNT, Role

from support.harness import request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox import AcrSandbox

GUIDE = (Path(__file__).resolve().parents[2] / "docs/identities.md").read_text()
POLICY = re.compile(r"<!-- policy: ([a-z-]+) -->\n```json\n(.*?)```", re.DOTALL)
ACCOUNT_B = "9876543210987654"
WORDS = {
    "ACCOUNT_A": ACCOUNT,
    "ACCOUNT_B": ACCOUNT_B,
    "CLUSTER_ID": CLUSTER,
    "REGION": REGION,
    "INSTANCE_ID": INSTANCE_ID,
}


def policies(**words: str) -> dict[str, dict[str, Any]]:
    """Return every policy of the guide by name, its words in capitals replaced, by *words* first of all."""
    found = {}
    for name, text in POLICY.findall(GUIDE):
        for word, value in {**WORDS, **words}.items():
            text = text.replace(word, value)  # noqa: PLW2901 - the text, a word less each time
        found[name] = json.loads(text)
    return found


def document(*keys: str) -> dict[str, Any]:
    """Return the one YAML document of the guide with all of *keys* at its top."""
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    found = [each for each in chain.from_iterable(map(yaml.safe_load_all, blocks)) if set(keys) <= set(each)]
    assert len(found) == 1, f"{len(found)} documents in the guide have {keys}"
    return found[0]


def actions(policy: dict[str, Any]) -> Iterator[str]:
    for statement in policy["Statement"]:
        yield from [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


def without(policy: dict[str, Any], action: str) -> dict[str, Any]:
    """Return *policy* less *action*; what would then be empty allows an action that nobody asks for."""
    less = copy.deepcopy(policy)
    for statement in less["Statement"]:
        listed = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        statement["Action"] = [each for each in listed if each != action] or ["none:None"]
    return less


def with_subjects(policy: dict[str, Any], *subjects: str) -> dict[str, Any]:
    """Return the trust *policy* for other ServiceAccounts (``NAMESPACE/NAME``)."""
    changed = copy.deepcopy(policy)
    condition = changed["Statement"][0]["Condition"]["StringEquals"]
    condition["oidc:sub"] = [f"system:serviceaccount:{subject.replace('/', ':')}" for subject in subjects]
    return changed


def without_condition(policy: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(policy)
    for statement in changed["Statement"]:
        statement.pop("Condition", None)
    return changed


def as_service_accounts(sandbox: AcrSandbox, settings: Path, namespace: str = "team") -> Callable[[str], bytes]:
    """Let every ServiceAccount of *namespace* pull as itself; return what the kubelet asks for one by its name."""
    trust = with_subjects(policies()["trust-service-account"], f"{namespace}/*")
    conditions = trust["Statement"][0]["Condition"]
    conditions["StringLike"] = {"oidc:sub": conditions["StringEquals"].pop("oidc:sub")}
    sandbox.state.add_role(Role("pull", trust, policies=(policies()["pull"],)))
    cluster = sandbox.add_cluster()
    document = sandbox.settings()
    document["registries"][0]["identity"] = {"kind": "serviceAccount", "oidcProviderArn": PROVIDER_ARN}
    settings.write_text(json.dumps(document))
    settings.chmod(0o600)

    def ask(name: str) -> bytes:
        return request(
            sandbox.image.partition(":latest")[0],
            serviceAccountToken=cluster.token(namespace, name),
            serviceAccountAnnotations={"pod-identity.alibabacloud.com/role-name": "pull"},
        )

    return ask
