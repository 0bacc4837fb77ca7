"""What webhook and policy add to the creation of a ServiceAccount, and how many a second the webhook stands.

Written to build/bench-webhook.json.

A real API server, two replicas and what kube-proxy would be in this process; who creates is a process of its own, as
are the API server and etcd. ServiceAccounts come at a steady rate, whether earlier ones were answered or not.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SECONDS = float(os.environ.get("SECONDS", "20"))
RATES = (10, 100, 200)
NAMESPACES = 100


def load(url: str, folder: str, prefix: str, rate: float, seconds: float) -> dict[str, Any]:
    """Create ServiceAccounts at *rate* per second for *seconds*; return how that went."""
    tls = ssl.create_default_context(cafile=f"{folder}/ca.crt")
    tls.load_cert_chain(f"{folder}/admin.crt", f"{folder}/admin.key")
    host, port = urlsplit(url).hostname or "", urlsplit(url).port
    local = threading.local()
    took, missing, failed = [], [], []

    def create(number: int) -> None:
        namespace = f"{prefix}-{number % NAMESPACES}"
        body = json.dumps({"metadata": {"name": f"build-{number}"}})
        began = time.monotonic()
        try:
            if not hasattr(local, "connection"):
                local.connection = http.client.HTTPSConnection(host, port, context=tls, timeout=30)
            path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
            local.connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = local.connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            failed.append(number)
            del local.connection
            return
        took.append(time.monotonic() - began)
        if answer.status != 201:
            failed.append(number)
        elif not json.loads(content).get("imagePullSecrets"):
            missing.append(number)

    began = time.monotonic()
    with ThreadPoolExecutor(64) as pool:
        for number in range(int(rate * seconds)):
            pause = began + number / rate - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            pool.submit(create, number)
    lasted = time.monotonic() - began
    ordered = sorted(took)
    return {
        "asked for per second": rate,
        "created": len(took) - len(failed),
        "per second": round(len(took) / lasted, 1),
        "failed": len(failed),
        "without entry": len(missing),
        "median ms": round(1000 * statistics.median(ordered), 1),
        "p99 ms": round(1000 * ordered[int(len(ordered) * 0.99)], 1),
        "worst ms": round(1000 * ordered[-1], 1),
    }


def main() -> None:
    """Measure without and with the webhook, and print it."""
    from acr_credential_provider.settings.pull_secrets import Admission
    from cluster.loopback_api import LoopbackApi
    from cluster.replicas import Given, Replicas

    found: dict[str, Any] = {"seconds each": SECONDS, "replicas": 2, "namespaces": NAMESPACES}
    with LoopbackApi() as api:
        found["without"] = {f"{rate}/s": measure(api, f"plain-{rate}", rate) for rate in RATES}
        given = Given(Admission(mode="webhook", failurePolicy="Fail"), content=b'{"auths": {}}' + b" " * 2000)
        with Replicas(api, api.namespace("hook-system"), given) as replicas:
            replicas.started(2)
            before = time.process_time()
            began = time.monotonic()
            found["with"] = {f"{rate}/s": measure(api, f"hook-{rate}", rate) for rate in RATES}
            found["CPU of both replicas and the proxy, cores"] = round(
                (time.process_time() - before) / (time.monotonic() - began), 3
            )
            found["resident, both replicas, MiB"] = resident()
        found["side by side, 20/s"] = side_by_side(api)
    path = Path("build/bench-webhook.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def side_by_side(api: Any) -> dict[str, Any]:
    """Measure webhook (Ignore, 1 s) and policy with all of two replicas up, with one of them down, and with none up."""
    from acr_credential_provider.settings.pull_secrets import Admission
    from cluster.replicas import Given, Replicas, wait_until
    from support.admission_policy import Release

    found = {}
    for mode in ("webhook", "policy"):
        own = api.namespace(f"{mode}-system")
        with (
            Release(api, own) as release,
            Replicas(api, own, Given(Admission(mode=mode, timeoutSeconds=1))) as replicas,
        ):
            for number in range(2):
                replicas.start(is_leader=number == 0)
            if mode == "policy":
                wait_until(release.selected, "the policy's parameters")
            replicas.await_asked()
            for up in (2, 1, 0):
                found[f"{mode}, {up} of 2 replicas up"] = measure(api, f"{mode}-{up}", 20)
                if replicas.all:
                    replicas.stop(replicas.all[-1])
    return found


def measure(api: Any, prefix: str, rate: float) -> dict[str, Any]:
    """Let another process create ServiceAccounts in new namespaces."""
    for number in range(NAMESPACES):
        api.namespace(f"{prefix}-{number}")
    folder = api.kubeconfig("admin", group="system:masters").parent
    words = [sys.executable, __file__, "load", api.url, str(folder), prefix, str(rate), str(SECONDS)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def resident() -> int:
    """Return this process's resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


if __name__ == "__main__":
    if sys.argv[1:2] == ["load"]:
        url, folder, prefix, rate, seconds = sys.argv[2:]
        print(json.dumps(load(url, folder, prefix, float(rate), float(seconds))))
    else:
        main()
