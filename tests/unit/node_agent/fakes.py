"""An API server and a node in memory, each with the rules of the real one that matter here."""

from __future__ import annotations

import copy
import itertools
import random
from dataclasses import dataclass
from typing import Any

from acr_credential_provider.kube_api.client import ApiRefusedError
from acr_credential_provider.model.errors import CloudUnreachableError
from acr_node_config.agent.plugin_runner import REJECTED, Installation, Plan, Validation
from acr_node_config.agent.program_run import ProgramError
from acr_node_config.agent.refresh_schedule import CachedToken
from acr_node_config.reporter.restart_leases import OWNER, ROLLOUT, slot_name

NAMESPACE = "kube-system"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/"
ROLE = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/{OWNER}"


class Clock:
    """Seconds since boot and since the epoch, as a test moves them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boot(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now


class FakeApi:
    """Objects by path, with resourceVersions that must fit on PUT; `is_down` answers nobody."""

    def __init__(self, *, slots: int = 1, nodes: tuple[str, ...] = (), may_create: bool = False) -> None:
        self._versions = itertools.count(1)
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.conditions: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.is_down = False
        self.before_put = lambda path: None
        self.before_post = lambda path, document: None
        self._may_create = may_create
        for name in [ROLLOUT, *map(slot_name, range(slots))] if slots else []:
            self.add_lease(name)
        self._store(ROLE, {"metadata": {"name": OWNER, "namespace": NAMESPACE, "uid": "uid-of-the-role"}})
        for node in nodes:
            self._store(f"/api/v1/nodes/{node}", {"metadata": {"name": node, "uid": f"uid-of-{node}"}})

    def add_lease(self, name: str) -> None:
        self._store(LEASES + name, {"metadata": {"name": name, "namespace": NAMESPACE}})

    def _store(self, path: str, document: dict[str, Any]) -> None:
        document["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[path] = document

    def _begin(self, method: str, path: str) -> None:
        self.calls.append((method, path))
        if self.is_down:
            raise CloudUnreachableError("the API server did not answer", remedy="Nothing, if it passes.")

    def get(self, path: str) -> dict[str, Any]:
        self._begin("GET", path)
        if path not in self.objects:
            raise ApiRefusedError("GET", path, 404)
        return copy.deepcopy(self.objects[path])

    def put(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        self._begin("PUT", path)
        self.before_put(path)
        if self.objects[path]["metadata"]["resourceVersion"] != document["metadata"]["resourceVersion"]:
            raise ApiRefusedError("PUT", path, 409)
        self._store(path, copy.deepcopy(document))
        return copy.deepcopy(document)

    def patch(self, path: str, document: dict[str, Any], kind: str) -> dict[str, Any]:
        self._begin("PATCH", path)
        assert kind == "application/strategic-merge-patch+json"
        (condition,) = document["status"]["conditions"]
        self.conditions[path.split("/")[4]] = condition
        return {}

    def post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        self._begin("POST", path)
        if path == LEASES.rstrip("/"):
            return self._create(path, document)
        assert path == "/api/v1/namespaces/default/events"
        self.events.append(document)
        return {}

    def _create(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        if not self._may_create:
            raise ApiRefusedError("POST", path, 403)
        self.before_post(path, document)
        name = document["metadata"]["name"]
        if LEASES + name in self.objects:
            raise ApiRefusedError("POST", path, 409)
        self._store(LEASES + name, copy.deepcopy(document))
        return copy.deepcopy(self.objects[LEASES + name])

    def holder(self, slot: int = 0) -> str:
        return self.objects[LEASES + slot_name(slot)].get("spec", {}).get("holderIdentity", "")

    def reasons(self, node: str) -> list[str]:
        return [event["reason"] for event in self.events if event["involvedObject"]["name"] == node]


PROGRAM = "/opt/acr/bin/aliyun-acr-credential-provider"
CONFIG = "/etc/kubernetes/acr.yaml"
SETTINGS = "/etc/aliyun-acr-credential-provider/settings.yaml"


@dataclass
class FakeToken:
    """What a plugin remembers; times by the cloud's clock."""

    due: float
    dead: float
    asked: float


class FakeNode:
    """A node's files below *root*, an installer and a plugin for it, with the rules of the real ones.

    A line ``match: X`` of the settings goes into the kubelet's configuration, so that a change restarts the kubelet;
    a line ``poison`` makes them unusable. *lives_with* says whether the kubelet lives with a configuration.
    """

    def __init__(self, root, clock, *, version="1", lives_with=lambda config: True):
        self.root, self.clock, self.version, self.lives_with = root, clock, version, lives_with
        self.restarts = 0
        self.installs = []
        self.before_install = lambda plan: None
        self.failure = None
        self.rejected = ""
        self.interrupted = ""
        self.judged_by = []
        self.tokens = {}
        self.cloud_fails = False
        self.calls = 0
        self.life = 3600.0
        for folder in ("opt/acr/bin", "etc/kubernetes", "etc/aliyun-acr-credential-provider", "var/lib"):
            (root / folder).mkdir(parents=True)

    def at(self, path):
        return self.root / path.lstrip("/")

    def text(self, path):
        return self.at(path).read_text() if self.at(path).exists() else ""

    def _wanted(self, settings):
        text = self.text(settings) if settings else self.text(SETTINGS)
        config = "".join(line + "\n" for line in text.splitlines() if line.startswith("match: "))
        return {PROGRAM: self.version, CONFIG: config, SETTINGS: text}

    def plan(self, settings):
        wanted = self._wanted(settings)
        if self.rejected and self.rejected == wanted[CONFIG]:
            return Plan(("write " + CONFIG,), restarts=True, rejection="the kubelet was not healthy with it before")
        changes = [path for path, content in wanted.items() if self.text(path) != content]
        return Plan(tuple(f"write {path}" for path in changes), restarts=CONFIG in changes)

    def install(self, settings):
        if self.failure:
            raise self.failure
        self.interrupted = ""
        plan, wanted = self.plan(settings), self._wanted(settings)
        self.before_install(plan)
        if plan.restarts and not self.lives_with(wanted[CONFIG]):
            self.restarts += 2
            self.rejected = wanted[CONFIG]
            raise ProgramError("the kubelet was not healthy with it", remedy="Read its log.", code=REJECTED)
        for path, content in wanted.items():
            if self.text(path) != content:
                self.at(path).write_text(content)
        self.restarts += plan.restarts
        self.installs.append(self.clock.now)

    def uninstall(self):
        for path in (PROGRAM, CONFIG, SETTINGS):
            self.at(path).unlink(missing_ok=True)
        self.restarts += 1

    def installation(self):
        if not self.text(PROGRAM):
            return Installation(interrupted=self.interrupted)
        return Installation(PROGRAM, (PROGRAM, CONFIG, SETTINGS), is_confirmed=True, interrupted=self.interrupted)

    def validator_id(self):
        return self.text(PROGRAM)

    def validate(self, settings):
        self.judged_by.append(self.text(PROGRAM) or "own")
        text = self.text(settings)
        if "poison" in text:
            return Validation(("settings.yaml, line 1: poison is not a known field",))
        if "new-field" in text and (self.text(PROGRAM) or self.version) < "2":
            return Validation(("settings.yaml, line 1: new-field is not a known field",))
        entries = [
            {line for line in each.splitlines() if line.startswith("entry: ")} for each in (self.text(SETTINGS), text)
        ]
        return Validation(lost=tuple(sorted(line.removeprefix("entry: ") for line in entries[0] - entries[1])))

    def match_images(self, settings):
        return tuple(line.partition(": ")[2] for line in self._wanted(settings)[CONFIG].splitlines())

    # The plugin.
    def pull(self, host):
        """A pull asks for *host*; say whether it had to wait for the cloud."""
        now, token = self.clock.now, self.tokens.get(host)
        if token is None or now >= token.dead:
            if not self.cloud_fails:
                self._fetch(host)
            return True
        token.asked = now
        if now >= token.due and not self.cloud_fails:
            self._fetch(host)
        return False

    def _fetch(self, host):
        self.calls += 1
        now = self.clock.now
        self.tokens[host] = FakeToken(now + self.life - 900.0 - 60.0 * random.random(), now + self.life - 60.0, now)

    def cached_tokens(self):
        now = self.clock.now
        return tuple(
            CachedToken(
                host, round(token.due - now), round(token.dead - now), is_wanted=now - token.asked < self.life - 60.0
            )
            for host, token in self.tokens.items()
        )

    def refresh(self, ahead):
        now = self.clock.now
        for host, token in list(self.tokens.items()):
            if now >= token.due - ahead and now - token.asked < self.life - 60.0:
                if self.cloud_fails:
                    raise ProgramError("ACR did not answer", remedy="Nothing, if it passes.")
                asked = token.asked
                self._fetch(host)
                self.tokens[host].asked = asked
