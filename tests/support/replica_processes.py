"""Replicas of the pull-secrets controller as processes that can be killed, and an auditor who sees all that they do."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from cluster.kube import KubeError
from cluster.loopback_api import free_ports

from support.replica import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from support.replica import Team

LEASE_SECONDS = 3
LEASE_NAME = "aliyun-acr-credential-provider-pull-secrets"


class Processes:
    """Two controllers that read the ConfigMap of *team*; each is started again when it was killed.

    *url* is where they find the API server, if that is not where it is.
    """

    def __init__(self, team: Team, *words: str, url: str = "") -> None:
        kubeconfig = team.api.kubeconfig("admin", group="system:masters")
        if url:
            document = json.loads(kubeconfig.read_text())
            document["clusters"][0]["cluster"]["server"] = url
            kubeconfig = kubeconfig.with_suffix(".cable")
            kubeconfig.write_text(json.dumps(document))
        self._command = [sys.executable, "-m", "acr_credential_provider", "pull-secrets", "run"]
        self._command += ["--kubeconfig", str(kubeconfig), "--namespace", team.own]
        self._command += ["--config-map", f"{team.own}/acr-configuration", "--token-mode", "workerRole"]
        self._command += ["--address", "127.0.0.1", "--webhook-port", "0", "--log", "error"]
        self._command += ["--lease-duration", f"{LEASE_SECONDS}s", *words]
        self._team = team
        self._all: list[tuple[subprocess.Popen[bytes], int]] = []

    def __enter__(self) -> Self:
        for _ in range(2):
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        for each, _port in self._all:
            each.kill()
            each.wait()

    def _start(self) -> None:
        (port,) = free_ports(1)
        command = ["setpriv", "--pdeathsig", "KILL", *self._command, "--health-port", str(port)]
        self._all.append((subprocess.Popen(command), port))

    def holder(self) -> str:
        """Return who leads; "" while nobody ever did."""
        lease = self._team.find(f"/apis/coordination.k8s.io/v1/namespaces/{self._team.own}/leases/{LEASE_NAME}")
        return lease["spec"]["holderIdentity"] if lease else ""

    def kill_the_elder(self) -> None:
        """Kill the one that runs for longer, which most likely leads, as a machine that fails would; bring it back."""
        oldest, _port = self._all.pop(0)
        oldest.kill()
        oldest.wait()
        self._start()

    def figure(self, name: str, **labels: str) -> float:
        """Return the sum over both of a metric, of all its series that have *labels*."""
        total = 0.0
        for _process, port in self._all:
            for line in eventually(lambda port=port: _metrics(port)):
                series, _, value = line.rpartition(" ")
                has_labels = all(f'{key}="{each}"' in series for key, each in labels.items())
                if series.partition("{")[0] == name and has_labels:
                    total += float(value)
        return total


def _metrics(port: int) -> list[str]:
    """Return the lines of a replica's figures; none while it is only starting."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return answer.read().decode().splitlines()
    return []


class Auditor:
    """Sees each change of ServiceAccounts and Secrets in the namespaces of *team*, and what is wrong with it.

    *life_left* returns how many seconds a password still lives, by who granted it. *theirs* are others' entries by the
    account's name. Until it is told that a namespace `goes`, nothing of ours may vanish there.
    """

    def __init__(
        self, team: Team, *, life_left: Callable[[str], float], theirs: Mapping[str, list[str]] | None = None
    ) -> None:
        self._team = team
        self._life_left = life_left
        self._theirs = theirs or {}
        self._margin = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._entered: set[tuple[str, str]] = set()
        self._secrets: dict[str, tuple[str, dict[str, str]]] = {}
        self._gone: set[str] = set()
        self._dead_since: dict[str, float] = {}
        self.wrong: list[str] = []
        self.longest_dead = 0.0
        """Seconds for which a namespace's Secret had a login that did not live, or none."""
        self.contents = 0
        """How many contents of Secrets were seen."""
        self.seen = 0

    def __enter__(self) -> Self:
        jobs = [(self._watch, "serviceaccounts", self._on_account), (self._watch, "secrets", self._on_secret)]
        self._threads = [threading.Thread(target=job, args=words, daemon=True) for job, *words in jobs]
        self._threads.append(threading.Thread(target=self._look_at_logins, daemon=True))
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join(30)

    def life_left(self, namespace: str) -> float:
        """Return how many seconds the first login to die in the Secret of *namespace* still lives; 0 without any."""
        passwords = self._team.passwords(namespace)
        return min(map(self._life_left, passwords.values()), default=0.0)

    def goes(self, namespace: str) -> None:
        """Take note that *namespace* is about to be deleted."""
        with self._lock:
            self._gone.add(namespace)
            self._dead_since.pop(namespace, None)

    def assert_nothing_was_wrong(self) -> None:
        assert self.seen > 0, "it did look"
        assert self.wrong == []

    def _watch(self, plural: str, hear: Callable[[str, dict[str, Any]], None]) -> None:
        """Hear of each change of a kind, through restarts of the API server too."""
        path = f"/api/v1/{plural}"
        since = self._team.api.get(f"{path}?limit=1")["metadata"]["resourceVersion"]
        while not self._stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KubeError):
                if not since:  # who was restarted does not know what was before
                    found = self._team.api.get(path)
                    for each in found["items"]:
                        self._hear(hear, "MODIFIED", each)
                    since = found["metadata"]["resourceVersion"]
                for event in self._events(f"{path}?watch=1&resourceVersion={since}&timeoutSeconds=600"):
                    if event.get("type") not in ("ADDED", "MODIFIED", "DELETED"):
                        since = ""
                        break
                    since = event["object"]["metadata"]["resourceVersion"]
                    self._hear(hear, event["type"], event["object"])
            self._stop.wait(0.05)

    def _hear(self, hear: Callable[[str, dict[str, Any]], None], kind: str, document: dict[str, Any]) -> None:
        if document["metadata"]["namespace"].startswith(f"{self._team.prefix}-app"):
            self.seen += 1
            hear(kind, document)

    def _events(self, path: str) -> Iterator[dict[str, Any]]:
        api = self._team.api
        # Nothing may come for so long; then the next watch goes on from there, or it is over.
        connection = http.client.HTTPSConnection("127.0.0.1", api._port, context=api._tls, timeout=3)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            rest = b""
            while not self._stop.is_set() and (chunk := answer.read1(65536)):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line)
        finally:
            connection.close()

    def _on_account(self, kind: str, account: dict[str, Any]) -> None:
        namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
        names = [each["name"] for each in account.get("imagePullSecrets", [])]
        is_ours_there = self._team.name in names
        key = (namespace, name)
        with self._lock:
            if kind == "DELETED" or namespace in self._gone:
                self._entered.discard(key)
                return
            if [each for each in names if each != self._team.name] != self._theirs.get(name, []):
                self.wrong.append(f"{namespace}/{name}: entries of others were touched: {names}")
            if names.count(self._team.name) > 1:
                self.wrong.append(f"{namespace}/{name}: ours is there twice: {names}")
            if key in self._entered and not is_ours_there:
                self.wrong.append(f"{namespace}/{name}: our entry was lost: {names}")
            if is_ours_there:
                self._entered.add(key)

    def _on_secret(self, kind: str, secret: dict[str, Any]) -> None:
        meta = secret["metadata"]
        namespace = meta["namespace"]
        with self._lock:
            if meta["name"] != self._team.name or namespace in self._gone:
                return
            if kind == "DELETED":
                self.wrong.append(f"{namespace}: the Secret was deleted")
                return
            auths = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
            now = {
                host: base64.b64decode(auth["auth"]).decode().partition(":")[2] for host, auth in sorted(auths.items())
            }
            uid, before = self._secrets.get(namespace, (meta["uid"], {}))
            if uid != meta["uid"]:
                self.wrong.append(f"{namespace}: the Secret was made anew")
            lost = [host for host in before if host not in now and self._life_left(before[host]) > self._margin]
            if lost:
                self.wrong.append(f"{namespace}: living logins were taken out: {lost}")
            self.contents += before != now
            self._secrets[namespace] = (meta["uid"], now)

    def allow(self, seconds: float) -> Self:
        """Let logins be taken out *seconds* before they are dead, for a pull with them takes a while."""
        self._margin = seconds
        return self

    def _look_at_logins(self) -> None:
        while not self._stop.wait(0.1):
            now = time.monotonic()
            with self._lock:
                for namespace, (_uid, passwords) in self._secrets.items():
                    if namespace in self._gone:
                        continue
                    if passwords and all(self._life_left(each) > 0 for each in passwords.values()):
                        self._dead_since.pop(namespace, None)
                        continue
                    since = self._dead_since.setdefault(namespace, now)
                    self.longest_dead = max(self.longest_dead, now - since)
