"""The figures that the design promises: ratios of one run, written to build/bench.json.

`make bench` builds what this compares. Walls and CPU are medians of rounds that take turns,
so that a busy minute of the machine hits all commands alike.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

from acr_credential_provider.cloud.ca_bundle import KNOWN_PLACES
from sandbox import AcrSandbox
from sandbox.faults import Delay, Failure, Hang
from support import harness
from support.guide import as_service_accounts

ROOT = harness.ROOT
BARE = ["/usr/bin/python3", "-I", "-S", "-c", "pass"]
PLAIN = ROOT / "build/plain/plain/plain"
ON_HOST = ROOT / "build/freeze/plain/aliyun-acr-credential-provider/aliyun-acr-credential-provider"
UNTRIMMED = ROOT / "build/untrimmed/aliyun-acr-credential-provider/aliyun-acr-credential-provider"
ROUNDS = 21
HERD = 100
IDENTITIES = 30
MEMOS = 10_000
REGISTRIES = 1_000
MIB = 1024 * 1024


def main() -> int:
    figures: dict[str, float] = {}
    for part in (one_at_a_time, growth, herd, refused_herd, identities, token_mode, due_and_hung, sizes):
        figures |= part()
    rows = table(figures)
    (ROOT / "build/bench.json").write_text(json.dumps({name: round(figures[name], 3) for name in figures}, indent=2))
    width = max(len(row[0]) for row in rows)
    for what, value, limit, held in rows:
        print(f"{what:<{width}}  {value:>9.2f}  limit {limit:>6}  {'ok' if held else 'NOT HELD'}")
    print("build/bench.json has the figures behind it")
    return 0 if all(row[3] for row in rows) else 1


def table(f: dict[str, float]) -> list[tuple[str, float, float, bool]]:
    """Return rows of (what, value, limit, whether it is held)."""
    rows = [
        ("hit / bare python3, wall", f["hit_ms"] / f["bare_python_ms"], 2.2),
        ("hit / the same on this machine's C library, wall", f["hit_ms"] / f["host_hit_ms"], 1.1),
        ("miss / untrimmed miss, wall", f["miss_ms"] / f["untrimmed_miss_ms"], 0.55),
        ("miss / bare python3, CPU", f["miss_cpu_ms"] / f["bare_python_cpu_ms"], 20),
        ("first miss on a node / bare python3, CPU", f["first_miss_cpu_ms"] / f["bare_python_cpu_ms"], 30),
        ("hit, peak MiB", f["hit_peak_mib"], 15),
        ("miss, peak MiB", f["miss_peak_mib"], 52),
        ("hit among 10,000 memos, 1,000 registries / hit, wall", f["crowded_hit_ms"] / f["lone_hit_ms"], 1.1),
        ("the same, CPU", f["crowded_hit_cpu_ms"] / f["lone_hit_cpu_ms"], 1.1),
        ("miss with 1,000 registries / miss, CPU", f["crowded_miss_cpu_ms"] / f["lone_miss_cpu_ms"], 1.3),
        ("miss with the system's CA bundle / miss, CPU", f["bundle_miss_cpu_ms"] / f["lone_miss_cpu_ms"], 1.3),
        ("100 cold pulls: calls", f["herd_calls"], 1),
        ("100 cold pulls: last answer / first miss", f["herd_wall_over_miss"], 5),
        ("100 cold pulls: PSS of all, MiB", f["herd_pss_mib"], 600),
        ("100 refused pulls: calls", f["refused_herd_calls"], 2),
        ("100 refused pulls: last one told after, s", f["refused_herd_wall_s"], 5),
        ("30 identities: not answered", IDENTITIES - f["identities_answered"], 0),
        ("hit in token mode / plain hit, wall", f["pod_hit_ms"] / f["plain_hit_ms"], 1.3),
        ("miss with two STS hops / plain miss, CPU", f["two_hops_miss_cpu_ms"] / f["plain_miss_cpu_ms"], 1.4),
        ("due token, hung cloud: answer after, s", f["due_hung_wall_s"], 3.5),
        ("plugin bundle, MB", f["bundle_mb"], 35),
    ]
    return [(what, value, limit, value <= limit) for what, value, limit in rows]


class Scene:
    """A sandbox, settings and a cache folder of their own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="acr-bench-"))

    def __enter__(self) -> Self:
        self.sandbox = AcrSandbox().__enter__()
        settings = self.folder / "settings.yaml"
        settings.write_text(json.dumps(self.sandbox.settings()))
        settings.chmod(0o600)
        self.program = harness.frozen(settings, self.folder / "cache")
        self.image = self.sandbox.image.partition(":latest")[0]
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.close()
        shutil.rmtree(self.folder)


def one_at_a_time() -> dict[str, float]:
    """Bare Python, an empty frozen program, a hit, the same on the host's C library, a miss, and one untrimmed."""
    with Scene() as scene:
        stdin = scene.folder / "request"
        stdin.write_bytes(harness.request(scene.image))

        def plugin(binary: Path, cache: str) -> list[str]:
            return [str(binary), "--settings", str(scene.program.settings), "--cache", str(scene.folder / cache)]

        commands = {
            "bare_python": (BARE, os.devnull, []),
            "plain_frozen": ([str(PLAIN)], os.devnull, []),
            "hit": (plugin(harness.FROZEN, "hit"), str(stdin), []),
            "host_hit": (plugin(ON_HOST, "host"), str(stdin), []),
            "first_miss": (plugin(harness.FROZEN, "first"), str(stdin), _all_of(scene.folder / "first")),
            "untrimmed_first_miss": (plugin(UNTRIMMED, "other"), str(stdin), _all_of(scene.folder / "other")),
        }
        results = _measure(commands)
        # A miss as nodes know it: the token is over, the settings are the same. Tokens of one second
        # are over when their turn comes again.
        scene.sandbox.state.token_life = 1.0
        again = _measure(
            {
                "bare_python": (BARE, os.devnull, []),
                "miss": (plugin(harness.FROZEN, "again"), str(stdin), []),
                "untrimmed_miss": (plugin(UNTRIMMED, "untrimmed"), str(stdin), []),
                "pause": (["/bin/sleep", "1"], os.devnull, []),
            },
            warm_up=2,
        )
        assert scene.sandbox.calls.count("GetAuthorizationToken") >= 4 * ROUNDS
    figures: dict[str, float] = {}
    for name, runs in {**again, **results}.items():
        wall, cpu, peak = (statistics.median(each) for each in zip(*runs, strict=True))
        figures |= {f"{name}_ms": wall * 1e3, f"{name}_cpu_ms": cpu * 1e3, f"{name}_peak_mib": peak / 1024}
    return figures


def growth() -> dict[str, float]:
    """A hit and a miss among many memos and registries, and a miss that trusts a whole distribution's CAs."""
    with Scene() as scene:
        stdin = scene.folder / "request"
        stdin.write_bytes(harness.request(scene.image))
        settings = scene.sandbox.settings()
        (ours,) = settings["registries"]
        others = [
            {**ours, "instanceId": f"cri-other{number:06d}", "domains": [f"registry-{number}.example.com"]}
            for number in range(REGISTRIES - 1)
        ]
        bundle = scene.folder / "bundle.pem"
        bundle.write_bytes(_system_bundle() + scene.sandbox.ca_file.read_bytes())
        variants = {
            "lone": settings,
            "crowded": {**settings, "registries": [*others, ours]},
            "bundle": {**settings, "caBundle": str(bundle)},
        }
        commands = {}
        for name, document in variants.items():
            path = scene.folder / f"{name}.yaml"
            path.write_text(json.dumps(document))
            path.chmod(0o600)
            cache = scene.folder / name
            commands[name] = ([str(harness.FROZEN), "--settings", str(path), "--cache", str(cache)], str(stdin), [])
        _measure({"crowded": commands["crowded"]})  # makes its folders
        (memo,) = (scene.folder / "crowded/memo").glob("*.memo")
        for number in range(MEMOS):
            other = memo.with_name(f"{number:064x}.memo")
            other.write_bytes(memo.read_bytes())
            other.chmod(0o600)
        runs = {f"{name}_hit": each for name, each in _measure(commands).items()}
        scene.sandbox.state.token_life = 1.0
        for name in variants:
            for each in (scene.folder / name / "memo").glob("*.memo"):
                if not each.name.startswith("0" * 40):
                    each.unlink()
            shutil.rmtree(scene.folder / name / "store")
        # The first one after the pause finds cold caches; that is to be none of them.
        turns = {"bare": (BARE, os.devnull, []), **commands, "pause": (["/bin/sleep", "1"], os.devnull, [])}
        runs |= {f"{name}_miss": each for name, each in _measure(turns, warm_up=2).items() if name in variants}
        assert scene.sandbox.calls.count("GetAuthorizationToken") >= 3 * ROUNDS
    figures: dict[str, float] = {}
    for name, each in runs.items():
        wall, cpu, _ = (statistics.median(column) for column in zip(*each, strict=True))
        figures |= {f"{name}_ms": wall * 1e3, f"{name}_cpu_ms": cpu * 1e3}
    return figures


def _system_bundle() -> bytes:
    """Return the CA bundle of the distribution we are on."""
    return next(Path(place).read_bytes() for place in KNOWN_PLACES if Path(place).is_file())


def _all_of(cache: Path) -> list[str]:
    return [str(cache / name) for name in ("memo", "store")]


def _measure(commands: dict, warm_up: int = 1) -> dict[str, list[tuple[float, float, float]]]:
    measure = [sys.executable, "-I", "-S", str(Path(__file__).with_name("measure.py"))]
    plan = repr({"rounds": ROUNDS + warm_up, "commands": commands})
    done = subprocess.run([*measure, plan], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {done.stderr}\nremedy: make freeze freeze-untrimmed freeze-plain")
    return {name: runs[warm_up:] for name, runs in ast.literal_eval(done.stdout).items()}


def herd() -> dict[str, float]:
    """100 cold pulls of one instance: how long, how many calls, how much memory.

    One and a hundred take turns: both begin with nothing in the cache, and a slow moment hits both.
    """
    ones, hundreds, calls = [], [], 0
    for _ in range(5):
        with Scene() as scene:
            ones.append(scene.program.ask(scene.image).seconds)
        with Scene() as scene:
            ended = scene.program.ask_together([scene.image] * HERD)
            assert all(each.code == 0 for each in ended)
            hundreds.append(max(each.seconds for each in ended))
            calls = max(calls, scene.sandbox.calls.count("GetAuthorizationToken"))
    with Scene() as scene:
        scene.sandbox.faults.add("GetAuthorizationToken", Delay(4.0))
        samples: list[float] = []

        def watch(processes: list[subprocess.Popen]) -> None:
            for _ in range(20):
                samples.append(sum(_pss(process.pid) for process in processes))
                time.sleep(0.2)

        scene.program.ask_together([scene.image] * HERD, before_end=watch)
    return {
        "herd_calls": calls,
        "herd_wall_over_miss": statistics.median(hundreds) / statistics.median(ones),
        "herd_pss_mib": max(samples) / MIB,
    }


def _pss(pid: int) -> int:
    """Return the bytes of memory that are *pid*'s, its share of what is shared."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def refused_herd() -> dict[str, float]:
    with Scene() as scene:
        scene.sandbox.faults.add("GetAuthorizationToken", Failure(403, "NoPermission", "no"))
        ended = scene.program.ask_together([scene.image] * HERD)
        assert all(b"NoPermission" in each.stderr for each in ended)
        return {
            "refused_herd_calls": scene.sandbox.calls.count("GetAuthorizationToken"),
            "refused_herd_wall_s": max(each.seconds for each in ended),
        }


def identities() -> dict[str, float]:
    """30 ServiceAccounts at once, each with a token of its own to get."""
    with Scene() as scene:
        ask = as_service_accounts(scene.sandbox, scene.program.settings)
        began = time.monotonic()
        processes = [scene.program.start() for _ in range(IDENTITIES)]
        for number, process in enumerate(processes):
            process.stdin.write(ask(f"app-{number}"))
            process.stdin.close()
            process.stdin = None
        answers = [process.communicate()[0] for process in processes]
        wall = time.monotonic() - began
        answered = sum(
            process.returncode == 0 and b'"auth"' in out for process, out in zip(processes, answers, strict=True)
        )
        return {"identities_answered": answered, "identities_wall_s": wall}


def token_mode() -> dict[str, float]:
    """A hit with a ServiceAccount's token beside a plain one; a miss with two hops through STS beside one without."""
    with Scene() as plain, Scene() as pods:
        ask = as_service_accounts(pods.sandbox, pods.program.settings)
        for scene, raw in ((plain, harness.request(plain.image)), (pods, ask("app"))):
            (scene.folder / "request").write_bytes(raw)
        settings = json.loads(pods.program.settings.read_text())
        _add_second_hop(pods.sandbox, settings)
        pods.program.settings.write_text(json.dumps(settings))

        def plugin(scene: Scene, cache: str) -> list[str]:
            settings = scene.program.settings
            return [str(harness.FROZEN), "--settings", str(settings), "--cache", str(scene.folder / cache)]

        runs = _measure(
            {
                "bare_python": (BARE, os.devnull, []),
                "plain_hit": (plugin(plain, "hit"), str(plain.folder / "request"), []),
                "pod_hit": (plugin(pods, "hit"), str(pods.folder / "request"), []),
                "plain_miss": (plugin(plain, "miss"), str(plain.folder / "request"), _all_of(plain.folder / "miss")),
                "two_hops_miss": (plugin(pods, "miss"), str(pods.folder / "request"), _all_of(pods.folder / "miss")),
            }
        )
    figures: dict[str, float] = {}
    for name in ("plain_hit", "pod_hit", "plain_miss", "two_hops_miss"):
        wall, cpu, _ = (statistics.median(each) for each in zip(*runs[name], strict=True))
        figures |= {f"{name}_ms": wall * 1e3, f"{name}_cpu_ms": cpu * 1e3}
    return figures


def _add_second_hop(sandbox: AcrSandbox, settings: dict) -> None:
    assume = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    first = sandbox.state.find_role("acs:ram::1234567890123456:role/pull")
    sandbox.state.add_role(dataclasses.replace(first, policies=(assume,)))
    trust = {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"RAM": [first.arn]}}],
    }
    second = sandbox.state.add_role(dataclasses.replace(first, name="second", trust=trust))
    settings["registries"][0]["assumeRole"] = [{"roleArn": second.arn}]


def due_and_hung() -> dict[str, float]:
    with Scene() as scene:
        scene.sandbox.state.token_life = 16.0
        scene.program.ask(scene.image)
        threading.Event().wait(8.7)  # a Date header has whole seconds: the life may look up to one longer
        scene.sandbox.faults.add("GetAuthorizationToken", Hang("request"))
        ended = scene.program.ask(scene.image)
        assert ended.code == 0
        return {"due_hung_wall_s": ended.seconds}


def sizes() -> dict[str, float]:
    bundle = harness.FROZEN.parent
    size = sum(each.stat().st_size for each in bundle.rglob("*") if each.is_file() and not each.is_symlink())
    return {"bundle_mb": size / 1e6}


if __name__ == "__main__":
    sys.exit(main())
