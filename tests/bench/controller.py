"""What the pull-secrets controller costs, against a real API server: `make bench-controller`.

Namespaces of ten ServiceAccounts each are there before the controller starts, as a process of its own. Measured are
the time until all have what they should, its writes, the calls to ACR, its CPU time and memory; then what it does
while nothing changes, and how long a new ServiceAccount waits. With BENCH_FULL=1 the last stage has ten thousand
ServiceAccounts, and there a second controller with the resync that it has by default is watched for eleven minutes in
which nothing changes; without it the last stage has a thousand. The stages are a curve, for what grows faster than the
cluster to be seen.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cluster.loopback_api import LoopbackApi
from sandbox import AcrSandbox
from support.harness import ROOT

ACCOUNTS = 10
FULL = bool(os.environ.get("BENCH_FULL"))
STAGES = (10, 30, 100, 300, 1000) if FULL else (10, 30, 100)
NEW = 200
STEADY, RESYNC = 60.0, "15s"
LONG, USUAL = 660.0, "10m"
"""Seconds without a change, and after how long by default everything is looked at again."""
SECRET = "acr-credential-aliyun"
OWN = "acr-system"
LIMITS = {"cores": 0.25, "MiB": 256.0, "newMedian": 1.0, "newWorst": 1.0}
"""CPU on average while nothing changes and while all is new; memory at its peak; seconds."""


LISTS = ("LIST", "serviceaccounts")


class Process:
    """One controller, and what the system and its own figures say of it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self._port = port

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    def writes(self) -> dict[str, int]:
        """Return its own count of writes by kind, failed ones under another name."""
        found: dict[str, int] = {}
        for parts, value in self._figures("acr_pull_secrets_writes_total"):
            name = parts["kind"] if parts["outcome"] == "ok" else f"{parts['kind']} {parts['outcome']}"
            found[name] = found.get(name, 0) + int(value)
        return found

    def lists(self) -> int:
        """Return how many pages of ServiceAccounts it asked for."""
        calls = self._figures("acr_pull_secrets_api_call_duration_seconds_count")
        return sum(int(value) for parts, value in calls if (parts["verb"], parts["resource"]) == LISTS)

    def _figures(self, name: str) -> list[tuple[dict[str, str], float]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        found = []
        for line in lines:
            if line.startswith(f"{name}{{"):
                labels, _, value = line.partition("{")[2].rpartition("} ")
                found.append((dict(part.split("=") for part in labels.replace('"', "").split(",")), float(value)))
        return found


class Api:
    """The API server over connections that stay, for a bench that must not measure handshakes."""

    def __init__(self, api: LoopbackApi) -> None:
        self._api = api
        self._own = threading.local()

    def call(self, method: str, path: str, body: object = None) -> dict:
        kept = getattr(self._own, "connection", None)
        if kept is not None:
            try:
                return self._send(kept, method, path, body)
            except (ConnectionError, http.client.HTTPException):  # it was idle for too long
                kept.close()
        where = {"host": "127.0.0.1", "port": self._api._port, "context": self._api._tls}
        self._own.connection = http.client.HTTPSConnection(**where, timeout=60)
        return self._send(self._own.connection, method, path, body)

    @staticmethod
    def _send(connection: http.client.HTTPSConnection, method: str, path: str, body: object) -> dict:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
        return json.loads(connection.getresponse().read())

    def fill(self, first: int, last: int) -> None:
        """Make the namespaces from number *first* to before *last*, with their accounts."""

        def one(number: int) -> None:
            name = f"team-{number}"
            self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
            for account in range(ACCOUNTS):
                body = {"metadata": {"name": f"app-{account}"}, "imagePullSecrets": [{"name": "theirs"}]}
                self.call("POST", f"/api/v1/namespaces/{name}/serviceaccounts", body)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(first, last)))

    def pull_secrets(self, namespace: str, name: str) -> list[str]:
        found = self.call("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
        return [each["name"] for each in found.get("imagePullSecrets", [])]


@contextlib.contextmanager
def controller(api: LoopbackApi, settings: Path, *, resync: str = RESYNC):
    port = 18080 + os.getpid() % 10000
    command = [sys.executable, "-m", "acr_credential_provider", "pull-secrets", "run"]
    command += ["--kubeconfig", str(api.kubeconfig("admin", group="system:masters")), "--namespace", OWN]
    command += ["--settings", str(settings), "--resync", resync, "--log", "warning"]
    command += ["--address", "127.0.0.1", "--webhook-port", "0", "--health-port", str(port)]
    with subprocess.Popen(command) as process:
        try:
            yield Process(process, port)
        finally:
            process.kill()


def uninstall(api: LoopbackApi) -> None:
    command = [sys.executable, "-m", "acr_credential_provider", "pull-secrets", "uninstall", "--force"]
    command += ["--kubeconfig", str(api.kubeconfig("admin", group="system:masters")), "--namespace", OWN]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def stage(api: LoopbackApi, client: Api, sandbox: AcrSandbox, settings: Path, count: int) -> dict[str, float]:
    """Run one controller over *count* namespaces from zero; return its figures."""
    sandbox.calls.clear()
    accounts = count * ACCOUNTS
    with controller(api, settings) as process:
        began = time.monotonic()
        await_(lambda: written(process).get("ServiceAccount", 0) >= accounts, within=600)
        seconds = time.monotonic() - began
        cpu = process.cpu()
        writes = process.writes()
        missing = [name for name in sample(count) if SECRET not in client.pull_secrets(name, "app-0")]
        assert not missing, missing
        figures = {
            "accounts": accounts,
            "seconds": round(seconds, 1),
            "secretWrites": writes.get("Secret", 0),
            "accountWrites": writes.get("ServiceAccount", 0),
            "otherWrites": sum(value for name, value in writes.items() if " " in name),
            "acrCalls": sandbox.calls.count(),
            "cpuSeconds": round(cpu, 1),
            "cores": round(cpu / seconds, 3),
        }
        figures |= steady(process)
        figures |= fresh(client)
        figures["MiB"] = round(process.peak(), 1)
    return figures


def steady(process: Process) -> dict[str, float]:
    """Return what it costs while nothing changes, over several resyncs."""
    before, cpu, began = process.writes(), process.cpu(), time.monotonic()
    time.sleep(STEADY)
    seconds = time.monotonic() - began
    return {
        "steadyWrites": sum(process.writes().values()) - sum(before.values()),
        "steadyCores": round((process.cpu() - cpu) / seconds, 4),
    }


def idle(api: LoopbackApi, settings: Path, count: int) -> dict[str, float]:
    """Return what a controller does that is started where all is well, and left alone beyond its usual resync."""
    with controller(api, settings, resync=USUAL) as process:
        began = time.monotonic()
        await_(lambda: managed(process) >= count, within=120)
        first = process.lists()
        cpu = process.cpu()
        time.sleep(max(began + LONG - time.monotonic(), 0))
        return {
            "idleSeconds": round(time.monotonic() - began),
            "idleWrites": sum(process.writes().values()),
            "idleLists": process.lists() - first,
            "idleCores": round((process.cpu() - cpu) / LONG, 4),
        }


def managed(process: Process) -> float:
    try:
        figures = process._figures("acr_pull_secrets_managed_objects")
    except OSError:  # it is only starting
        assert process.process.poll() is None, "the controller ended"
        return 0
    return sum(value for parts, value in figures if parts["kind"] == "Secret")


def fresh(client: Api) -> dict[str, float]:
    """Return how long a new account waits for its entry."""
    waits = []
    for number in range(NEW):
        path = "/api/v1/namespaces/team-0/serviceaccounts"
        name = f"new-{number}"
        client.call("POST", path, {"metadata": {"name": name}})
        began = time.monotonic()
        await_(lambda name=name: SECRET in client.pull_secrets("team-0", name), within=30, pause=0.002)
        waits.append(time.monotonic() - began)
    for number in range(NEW):
        client.call("DELETE", f"/api/v1/namespaces/team-0/serviceaccounts/new-{number}")
    return {"newMedian": round(statistics.median(waits), 4), "newWorst": round(max(waits), 4)}


def written(process: Process) -> dict[str, int]:
    try:
        return process.writes()
    except OSError:  # it is only starting
        assert process.process.poll() is None, "the controller ended"
        return {}


def sample(count: int) -> list[str]:
    return [f"team-{number}" for number in range(0, count, max(count // 50, 1))]


def await_(check, *, within: float, pause: float = 0.2) -> None:
    end = time.monotonic() + within
    while not check():
        assert time.monotonic() < end, f"not within {within:.0f} s"
        time.sleep(pause)


def main() -> int:
    results = []
    with LoopbackApi() as api, AcrSandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        client = Api(api)
        client.call("POST", "/api/v1/namespaces", {"metadata": {"name": OWN}})
        settings = Path(folder) / "settings.yaml"
        wanted = {"namespaces": ["team-*"], "serviceAccounts": ["*"]}
        settings.write_text(json.dumps({**sandbox.settings(), "pullSecrets": wanted}))
        settings.chmod(0o600)
        made = 0
        for count in STAGES:
            client.fill(made, count)
            made = count
            figures = stage(api, client, sandbox, settings, count)
            if FULL and count == STAGES[-1]:
                figures |= idle(api, settings, count)
            print(json.dumps(figures), flush=True)
            results.append(figures)
            uninstall(api)
    path = ROOT / "build/bench-controller.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"stages": results, "limits": LIMITS}, indent=2) + "\n")
    return report(results)


def report(results: list[dict[str, float]]) -> int:
    """Say what is beyond its limit; return how much is."""
    last = results[-1]
    wrong = [name for name, limit in LIMITS.items() if last[name] > limit]
    for each in results:
        if each["secretWrites"] != each["accounts"] // ACCOUNTS or each["accountWrites"] != each["accounts"]:
            wrong.append("writes")
        if each["otherWrites"] or each["steadyWrites"]:
            wrong.append("steadyWrites")
        if each.get("idleWrites") or each.get("idleLists") == 0:
            wrong.append("idleWrites")
        if each["acrCalls"] != 1:
            wrong.append("acrCalls")
        if each["steadyCores"] > LIMITS["cores"]:
            wrong.append("steadyCores")
    for name in wrong:
        print(f"beyond its limit: {name}", flush=True)
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
