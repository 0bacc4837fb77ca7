"""Writes the objects of the plain manifests again, from the chart (`make manifests`): `generate.manifests HELM`.

An object stands in one place, packaging/chart. What operators choose from without Helm (a base, components, overlays)
are kustomizations, written by hand around the files that this writes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from freeze.bundles import NAME, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

CHART = REPOSITORY / "packaging" / "chart"
HEADER = "# Written by `make manifests`, from packaging/chart: change it there.\n"
NOBODYS = "TAG"
SETTINGS = '{"registries": [{"instanceId": "cri-0123456789abcdef", "identity": {"kind": "nodeRole"}}]}'
"""Needed by the schema; no file has them."""
PLUGIN = [f"--set=image.repository={NAME},image.tag={NOBODYS}", f"--set-json=plugin.settings={SETTINGS}"]
CONTROLLER = [PLUGIN[0], "--set=plugin.enabled=false,pullSecrets.enabled=true"]
MONITORED = "--set=podMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true"
MONITORING = ("dashboards", "podmonitor", "prometheus-rule")
# By file: the chart's template, and the values that it is rendered with.
WHOLE = {
    "node-config/manifests/base/daemonset.yaml": ("plugin/daemonset", PLUGIN),
    "node-config/manifests/base/leases.yaml": ("plugin/leases", PLUGIN),
    "node-config/manifests/base/service-account.yaml": ("plugin/rbac", PLUGIN),
    "node-config/manifests/components/own-node-only/policy.yaml": ("plugin/own-node-only", PLUGIN),
    "node-config/manifests/components/network-policy/policy.yaml": ("plugin/network-policy", PLUGIN),
    **{
        f"node-config/manifests/components/monitoring/{file}.yaml": (f"plugin/{file}", [*PLUGIN, MONITORED])
        for file in MONITORING
    },
    **{
        f"packaging/manifests/components/monitoring/{file}.yaml": (f"pull-secrets/{file}", [*CONTROLLER, MONITORED])
        for file in MONITORING
    },
    "packaging/manifests/components/admission-policy/policy.yaml": (
        *("pull-secrets/admission-policy", [*CONTROLLER, "--kube-version=1.36"]),
    ),
    "packaging/manifests/pull-secrets/deployment.yaml": ("pull-secrets/deployment", CONTROLLER),
    "packaging/manifests/pull-secrets/disruption.yaml": ("pull-secrets/disruption", CONTROLLER),
    "packaging/manifests/pull-secrets/network-policy.yaml": ("pull-secrets/network-policy", CONTROLLER),
    "packaging/manifests/pull-secrets/own-objects-only.yaml": ("pull-secrets/own-objects-only", CONTROLLER),
    "packaging/manifests/pull-secrets/rbac.yaml": ("pull-secrets/rbac", CONTROLLER),
    "packaging/manifests/pull-secrets/service.yaml": ("pull-secrets/service", CONTROLLER),
}
# By file: the same, and the value with which that template has more objects. The file has these alone.
MORE = {
    "node-config/manifests/components/service-account-tokens/audience.yaml": (
        *("plugin/rbac", PLUGIN, "plugin.serviceAccountTokens=true"),
    ),
    "node-config/manifests/overlays/openshift/scc.yaml": ("plugin/rbac", PLUGIN, "platform=openshift"),
    "packaging/manifests/components/webhook/rights.yaml": (
        "pull-secrets/rbac",
        CONTROLLER,
        "pullSecrets.webhook.enabled=true",
    ),
    "packaging/manifests/pull-secrets/take-over.yaml": ("pull-secrets/rbac", CONTROLLER, "pullSecrets.takeOver=true"),
}
# Labels by which Helm marks its objects.
HELMS = re.compile(
    r"^ +(helm\.sh/chart|app\.kubernetes\.io/(instance|version|managed-by)): .*\n|^# Source: .*\n", re.MULTILINE
)
# Names of Helm's values are quoted, because an operator's may look like a number.
NEEDLESS = re.compile(r'((?:[nN]ame|namespace): )"([a-z]+(?:-[a-z]+)+)"')


def files(helm: str) -> Iterator[tuple[str, str]]:
    """Yield (path in this repository, text) of each file, rendered by the program *helm*."""
    for file, (template, values) in WHOLE.items():
        yield file, HEADER + "---\n".join(objects(helm, template, values))
    for file, (template, values, more) in MORE.items():
        fewer = objects(helm, template, values)
        added = [text for text in objects(helm, template, [*values, f"--set={more}"]) if text not in fewer]
        yield file, HEADER + "---\n".join(added)


def objects(helm: str, template: str, values: list[str]) -> list[str]:
    """Return the objects of the chart's *template* as texts, as one would write them by hand."""
    words = [helm, "template", "acr", str(CHART), "--namespace=kube-system", f"--show-only=templates/{template}.yaml"]
    done = subprocess.run([*words, *values], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: helm failed: {done.stderr.strip()}")
    text = re.sub(r"[ \t]+$", "", HELMS.sub("", done.stdout), flags=re.MULTILINE)
    text = text.replace(f'value: "{NAME}:{NOBODYS}"', 'value: ""').replace(
        f'image: "{NAME}:{NOBODYS}"', f"image: {NAME}"
    )
    text = NEEDLESS.sub(r"\1\2", text)
    return [re.sub(r"\n\n+", "\n", part).strip("\n") + "\n" for part in text.split("---\n") if part.strip()]


if __name__ == "__main__":
    for name, written in files(sys.argv[1]):
        (REPOSITORY / name).write_text(written)
