"""Helm's own program, and what it makes of the chart."""

import subprocess
from functools import cache
from pathlib import Path

import yaml
from cluster import parts

CHART = Path(__file__).resolve().parents[2] / "packaging/chart"
VALUES = Path(__file__).parent / "values"
SETS = sorted(path.stem for path in VALUES.glob("*.yaml"))
NAMESPACE = "kube-system"


def helm(*words: str, **options) -> subprocess.CompletedProcess:
    """Run helm with no configuration of anybody's."""
    nowhere = {f"HELM_{name}_HOME": "/nonexistent" for name in ("CACHE", "CONFIG", "DATA")}
    environment = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", **nowhere}
    return subprocess.run(
        [str(parts.find("helm")), *words], capture_output=True, text=True, check=False, env=environment, **options
    )


@cache
def rendered(*words: str, values: str, version: str = "") -> str:
    """Return what the values called *values* become, as one text."""
    wanted = [f"--kube-version={version}"] if version else []
    done = helm(
        "template", "acr", str(CHART), f"--namespace={NAMESPACE}", f"--values={VALUES / values}.yaml", *wanted, *words
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> dict[tuple[str, str], dict]:
    """Return the objects in *text* by kind and name."""
    found = [each for each in yaml.safe_load_all(text) if each]
    named = {(each["kind"], each["metadata"]["name"]): each for each in found}
    assert len(named) == len(found)
    return named
