"""The ways by which operators bring this project to a cluster and off it again, on a real API server.

Argo CD and Flux are not run. What they do with rendered objects is written down here from their documentation:
which kinds they leave out, how they apply, what they delete.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from chart.helm import CHART
from cluster import parts
from support.harness import ROOT

KUBECTL = Path(sys.executable).parent / "kubectl"
NAME = "aliyun-acr-credential-provider"
REPOSITORY = "registry.example.com/tools/acr"
REGISTRIES = [{"instanceId": "cri-0123456789abcdef", "identity": {"kind": "nodeRole"}}]
Document = dict[str, Any]
Key = tuple[str, str, str]
EXCLUDED_BY_ARGO_CD = {"Lease", "Endpoints", "EndpointSlice"}
"""Of the kinds in Argo CD's default `resource.exclusions` (argocd-cm, since 3.0) those that could be in a release."""


def ran(words: list[Any], given: str = "") -> str:
    """Run a program with no configuration of the user's; return what it printed."""
    nowhere = {f"HELM_{name}_HOME": "/nonexistent" for name in ("CACHE", "CONFIG", "DATA")}
    environment = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", **nowhere}
    done = subprocess.run(
        list(map(str, words)), input=given, capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def key_of(document: Document) -> Key:
    return document["kind"], document["metadata"].get("namespace", ""), document["metadata"]["name"]


def documents_in(text: str) -> list[Document]:
    return [each for each in yaml.safe_load_all(text) if each]


@dataclass
class Way:
    """One way: `apply` makes the cluster what a stage says, `go_back` the earlier one, `delete` takes all away.

    *stages* are what an operator writes: values for Helm, components for kustomize. *admin* is a kubeconfig.
    """

    admin: Path
    folder: Path
    namespace: str
    wanted: list[Document] = field(default_factory=list)
    """What the present stage is made of."""
    is_first: bool = True

    stages: tuple[Any, Any] = ("first", "second")

    def kubectl(self, *words: Any, given: str = "") -> str:
        return ran([KUBECTL, f"--kubeconfig={self.admin}", f"--cache-dir={os.devnull}", *words], given)

    def render(self, stage: str) -> list[Document]:
        raise NotImplementedError

    def apply(self, stage: str) -> None:
        raise NotImplementedError

    def go_back(self) -> None:
        self.apply("first")

    def delete(self) -> None:
        raise NotImplementedError


@dataclass
class OfChart(Way):
    """All ways that begin with the chart."""

    def values(self, stage: str) -> Path:
        file = self.folder / f"{stage}.yaml"
        file.write_text(yaml.safe_dump(VALUES[stage]))
        return file

    def helm(self, *words: Any) -> str:
        return ran([parts.find("helm"), *words, f"--namespace={self.namespace}", f"--kubeconfig={self.admin}"])

    def render(self, stage: str) -> list[Document]:
        return documents_in(self.helm("template", "acr", CHART, f"--values={self.values(stage)}"))


VALUES: dict[str, Document] = {
    "first": {
        "image": {"repository": REPOSITORY, "tag": "1.0.0"},
        "plugin": {"settings": {"registries": REGISTRIES}},
        "pullSecrets": {"enabled": True, "settings": {"registries": REGISTRIES}},
    },
    # Another image and other settings; more slots, more rights; an object fewer.
    "second": {
        "image": {"repository": REPOSITORY, "tag": "1.1.0"},
        "plugin": {
            "settings": {"registries": REGISTRIES, "log": "info"},
            "rollout": {"restartsAtOnce": 3},
            "serviceAccountTokens": True,
            "networkPolicy": {"enabled": False},
            "podAnnotations": {"team": "shop"},
        },
        "pullSecrets": {"enabled": True, "webhook": {"enabled": True}, "replicas": 3},
    },
}


class Helm(OfChart):
    """helm install, upgrade, rollback, uninstall"""

    def apply(self, stage: str) -> None:
        self.wanted = self.render(stage)
        self.helm("upgrade", "acr", CHART, "--install", f"--values={self.values(stage)}")

    def go_back(self) -> None:
        self.wanted = self.render("first")
        self.helm("rollback", "acr", "1")

    def delete(self) -> None:
        self.helm("uninstall", "acr")


class HelmElsewhere(Helm):
    """the same in a namespace of its own"""


class Umbrella(Helm):
    """a chart around this one, by Helm"""

    def apply(self, stage: str) -> None:
        around = self.folder / "around"
        if not around.exists():
            (around / "charts").mkdir(parents=True)
            (around / "charts/acr").symlink_to(CHART)
            dependency = {"name": NAME, "alias": "acr", "version": "*", "condition": "acr.enabled"}
            chart = {"apiVersion": "v2", "name": "around", "version": "1.0.0", "dependencies": [dependency]}
            (around / "Chart.yaml").write_text(yaml.safe_dump(chart))
        file = self.folder / f"around-{stage}.yaml"
        file.write_text(yaml.safe_dump({"acr": {"enabled": True, **VALUES[stage]}}))
        self.wanted = self.render(stage)
        self.helm("upgrade", "acr", around, "--install", f"--values={file}")


class Piped(OfChart):
    """helm template, kubectl apply, kubectl delete"""

    options: tuple[str, ...] = ()

    def apply(self, stage: str) -> None:
        self.wanted = self.render(stage)
        self.kubectl("apply", *self.options, "-f", "-", given=yaml.safe_dump_all(self.wanted))

    def delete(self) -> None:
        both = {key_of(each): each for stage in ("first", "second") for each in self.render(stage)}
        self.kubectl("delete", "--ignore-not-found", "-f", "-", given=yaml.safe_dump_all(list(both.values())))


class PipedServerSide(Piped):
    """helm template, kubectl apply --server-side, kubectl delete"""

    options = ("--server-side",)


@dataclass
class Pruning(OfChart):
    """What Argo CD and Flux have in common: they remember what they applied, and delete what is gone from Git."""

    applied: dict[Key, Document] = field(default_factory=dict)

    def take(self, documents: list[Document], *options: str) -> None:
        self.wanted = documents
        self.kubectl("apply", *options, "-f", "-", given=yaml.safe_dump_all(documents))
        present = {key_of(each): each for each in documents}
        self._delete([each for key, each in self.applied.items() if key not in present], "background")
        self.applied = present

    def _delete(self, documents: list[Document], cascade: str) -> None:
        if documents:
            given = yaml.safe_dump_all(documents)
            self.kubectl("delete", f"--cascade={cascade}", "--wait=false", "-f", "-", given=given)

    def delete(self) -> None:
        self._delete(list(self.applied.values()), "background")
        self.applied.clear()


class ArgoCd(Pruning):
    """Argo CD, with the chart"""

    def apply(self, stage: str) -> None:
        kept = [each for each in self.render(stage) if each["kind"] not in EXCLUDED_BY_ARGO_CD]
        for each in kept:
            group = each["apiVersion"].rpartition("/")[0]
            where = each["metadata"].get("namespace", self.namespace)
            tracked = f"acr:{group}/{each['kind']}:{where}/{each['metadata']['name']}"
            each["metadata"].setdefault("annotations", {})["argocd.argoproj.io/tracking-id"] = tracked
        self.take(kept)

    def delete(self) -> None:
        self._delete(list(self.applied.values()), "foreground")  # as its finalizer does
        self.applied.clear()


class ArgoCdServerSide(ArgoCd):
    """Argo CD with ServerSideApply=true, with the chart"""

    def take(self, documents: list[Document], *_options: str) -> None:
        super().take(documents, "--server-side", "--field-manager=argocd-controller", "--force-conflicts")


class Kustomized(Way):
    """kubectl apply -k, kubectl delete -k"""

    def render(self, stage: str) -> list[Document]:
        return documents_in(self.kubectl("kustomize", self.overlay(stage)))

    def overlay(self, stage: str) -> Path:
        for folder in ("node-config", "packaging"):
            link = self.folder / folder
            if not link.exists():
                link.mkdir()
                (link / "manifests").symlink_to(ROOT / folder / "manifests")
        mine = self.folder / stage
        mine.mkdir(exist_ok=True)
        plugin = "../node-config/manifests"
        components = {
            "first": ["own-node-only", "network-policy"],
            "second": ["own-node-only", "service-account-tokens"],
        }
        controller = "../packaging/manifests/components"
        more = {
            "first": [f"{controller}/admission-policy"],
            "second": [f"{controller}/admission-policy", f"{controller}/webhook"],
        }
        document: Document = {
            "resources": [f"{plugin}/overlays/ack", "../packaging/manifests/pull-secrets"],
            "components": [*(f"{plugin}/components/{each}" for each in components[stage]), *more[stage]],
            "images": [{"name": NAME, "newName": REPOSITORY, "newTag": {"first": "1.0.0", "second": "1.1.0"}[stage]}],
        }
        (mine / "kustomization.yaml").write_text(yaml.safe_dump(document))
        return mine

    def apply(self, stage: str) -> None:
        self.wanted = self.render(stage)
        self.kubectl("apply", "-k", self.overlay(stage))

    def delete(self) -> None:
        for stage in ("first", "second"):
            self.kubectl("delete", "--ignore-not-found", "-k", self.overlay(stage))


class KustomizedElsewhere(Kustomized):
    """kubectl apply -k in a namespace of its own, kubectl delete -k"""

    def overlay(self, stage: str) -> Path:
        """Return a copy of the example, as an operator makes it, in the namespace."""
        mine = self.folder / "manifests/overlays/mine"
        if not mine.exists():
            shutil.copytree(ROOT / "node-config/manifests", self.folder / "manifests")
            shutil.copytree(self.folder / "manifests/overlays/example", mine)
        file = mine / "kustomization.yaml"
        document = yaml.safe_load((mine.parent / "example/kustomization.yaml").read_text())
        document["namespace"] = self.namespace
        document["components"] = {
            "first": ["../../components/own-node-only", "../../components/network-policy"],
            "second": ["../../components/own-node-only", "../../components/service-account-tokens"],
        }[stage]
        file.write_text(yaml.safe_dump(document))
        return mine

    def render(self, stage: str) -> list[Document]:
        documents = super().render(stage)
        for each in documents:
            if each["kind"].startswith("ValidatingAdmissionPolicy"):
                del each["metadata"][
                    "namespace"
                ]  # kustomize adds it to kinds that it does not know; no API server keeps it
        return documents


class FluxKustomization(Kustomized):
    """Flux's Kustomization, with the manifests"""

    applied: dict[Key, Document] = {}  # noqa: RUF012 - replaced, never changed

    def apply(self, stage: str) -> None:
        self.wanted = self.render(stage)
        options = ["--server-side", "--field-manager=kustomize-controller", "--force-conflicts"]
        self.kubectl("apply", *options, "-f", "-", given=yaml.safe_dump_all(self.wanted))
        present = {key_of(each): each for each in self.wanted}
        self._delete([each for key, each in self.applied.items() if key not in present])
        self.applied = present

    def delete(self) -> None:
        self._delete(list(self.applied.values()))

    def _delete(self, documents: list[Document]) -> None:
        if documents:
            self.kubectl("delete", "--wait=false", "-f", "-", given=yaml.safe_dump_all(documents))


WAYS = [
    *(Helm, HelmElsewhere, Umbrella, Piped, PipedServerSide, Kustomized, KustomizedElsewhere),
    *(ArgoCd, ArgoCdServerSide, FluxKustomization),
]
