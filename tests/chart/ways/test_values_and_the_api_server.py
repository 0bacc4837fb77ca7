"""What renders, a real API server takes: values are drawn, wider than their schema; a dry run judges what renders."""

import json
import os
import shutil
from collections import Counter

import pytest
import yaml
from chart.helm import CHART, helm
from chart.ways.ways import REGISTRIES, REPOSITORY, Helm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MANY = int(os.environ.get("VALUES", "25"))
"""Releases that are drawn; for a search VALUES=1000, and -o faulthandler_timeout=3600."""
# fmt: off
EDGES = [
    "",
    "a",
    "1e3",
    "on",
    "null",
    "0x10",
    "-",
    "a b",
    "A",
    "a.b",
    "a_b",
    "a/b",
    "x" * 63,
    "x" * 64,
    "ä",
    "{{",
    "~",
    "#",
]
TEXTS = st.sampled_from(EDGES)
KEYS = st.sampled_from([
    *EDGES, "example.com/a", "Example.com/a", "/a", "a/", "kubernetes.io/os", "app.kubernetes.io/name",
])
NUMBERS = st.sampled_from([-1, 0, 1, 2, 99, 101, 65535, 65536, 2**31])
LABELS = st.dictionaries(KEYS, TEXTS, max_size=2)
SELECTOR = st.fixed_dictionaries({}, optional={"matchLabels": LABELS, "matchExpressions": st.lists(
    st.fixed_dictionaries({"key": KEYS, "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt"])},
                          optional={"values": st.lists(TEXTS, max_size=2)}), max_size=2)})
WHOLE = st.sampled_from(["1", "01", "-1"])
TERM = st.fixed_dictionaries({}, optional={"matchExpressions": st.lists(
    st.fixed_dictionaries({"key": KEYS, "operator": st.sampled_from(["In", "Exists", "Gt", "Lt"])},
                          optional={"values": st.lists(st.one_of(TEXTS, WHOLE), max_size=2)}),
    max_size=2), "matchFields": st.lists(st.fixed_dictionaries({"key": st.sampled_from(["metadata.name", "a"]),
    "operator": st.sampled_from(["In", "Exists"])}, optional={"values": st.lists(TEXTS, max_size=2)}), max_size=1)})
POD_TERM = st.fixed_dictionaries({"topologyKey": KEYS}, optional={
    "labelSelector": SELECTOR, "namespaceSelector": SELECTOR, "namespaces": st.lists(TEXTS, max_size=1)})
POD_AFFINITY = st.fixed_dictionaries({}, optional={
    "requiredDuringSchedulingIgnoredDuringExecution": st.lists(POD_TERM, max_size=2),
    "preferredDuringSchedulingIgnoredDuringExecution": st.lists(
        st.fixed_dictionaries({"weight": NUMBERS, "podAffinityTerm": POD_TERM}), max_size=1)})
AFFINITY = st.fixed_dictionaries({}, optional={
    "nodeAffinity": st.fixed_dictionaries({}, optional={
        "requiredDuringSchedulingIgnoredDuringExecution": st.fixed_dictionaries(
            {"nodeSelectorTerms": st.lists(TERM, max_size=2)}),
        "preferredDuringSchedulingIgnoredDuringExecution": st.lists(
            st.fixed_dictionaries({"weight": NUMBERS, "preference": TERM}), max_size=1)}),
    "podAffinity": POD_AFFINITY, "podAntiAffinity": POD_AFFINITY})
TOLERATIONS = st.lists(st.fixed_dictionaries({}, optional={
    "key": KEYS, "operator": st.sampled_from(["Exists", "Equal"]), "value": TEXTS, "tolerationSeconds": NUMBERS,
    "effect": st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute", "x"])}), max_size=2)
SPREAD = st.lists(st.fixed_dictionaries(
    {"maxSkew": NUMBERS, "topologyKey": KEYS,
     "whenUnsatisfiable": st.sampled_from(["DoNotSchedule", "ScheduleAnyway"])},
    optional={"minDomains": NUMBERS, "labelSelector": SELECTOR}), max_size=2)
QUANTITIES = st.sampled_from(["10m", "1", "0.5", "64Mi", "1Gi", "1.5G", "0", "1e3", 1, 128000000, "x", "0.0001"])
RESOURCES = st.fixed_dictionaries({}, optional={
    each: st.dictionaries(st.sampled_from(["cpu", "memory", "ephemeral-storage", "gpu"]), QUANTITIES, max_size=2)
    for each in ("requests", "limits")})
ENV = st.lists(st.fixed_dictionaries({"name": st.one_of(TEXTS, st.sampled_from(["TZ", "A", "NODE_NAME"]))}, optional={
    "value": TEXTS, "valueFrom": st.sampled_from([
        {}, {"fieldRef": {"fieldPath": "metadata.name"}}, {"secretKeyRef": {"name": "a", "key": "b"}},
        {"secretKeyRef": {"name": "a", "key": ".."}}, {"fieldRef": {"fieldPath": "spec.x"}}])}), max_size=2)
NAMES = st.one_of(TEXTS, st.sampled_from(["mine", "other", "host", "keys"]))
VOLUMES = st.lists(st.fixed_dictionaries({"name": NAMES}, optional={
    "emptyDir": st.sampled_from([{}, {"sizeLimit": "1Mi"}, {"medium": "Memory"}, {"medium": "x"}]),
    "configMap": st.sampled_from([{"name": "a"}, {}, {"name": "a", "items": [{"key": "a", "path": "../a"}]}]),
    "projected": st.sampled_from([{"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 600}}]},
                                  {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 1}}]}]),
    "secret": st.sampled_from([{"secretName": "a", "defaultMode": 0o400}, {"secretName": "a", "defaultMode": 0o1777}]),
}), max_size=2)
PATHS = st.sampled_from(["/mine", "/mine/", "mine", "/host", "/tmp", "/a:b", "/a/../b", "/a/b"])
MOUNTS = st.lists(st.fixed_dictionaries({"name": NAMES, "mountPath": PATHS}, optional={
    "readOnly": st.booleans(), "subPath": st.sampled_from(["a", "../a", "/a"])}), max_size=2)
PEER = st.one_of(
    st.fixed_dictionaries({}, optional={"podSelector": SELECTOR, "namespaceSelector": SELECTOR}),
    st.fixed_dictionaries({"ipBlock": st.fixed_dictionaries({"cidr": st.sampled_from(
        ["10.0.0.0/8", "10.0.0.1/8", "10.0.0.0", "fd00::/8", "::/0", "1.2.3.4/33", "01.2.3.4/8", "x"])})}),
)
EGRESS = st.lists(st.fixed_dictionaries({}, optional={
    "to": st.lists(PEER, max_size=2), "ports": st.lists(st.fixed_dictionaries({"port": st.one_of(
        NUMBERS, st.sampled_from(["https", "x" * 16, "-", "a--b", "80"]))}, optional={
        "protocol": st.sampled_from(["TCP", "SCTP", "x"])}), max_size=2)}), max_size=2)
PERCENTS = st.one_of(NUMBERS, st.sampled_from(["0%", "1%", "100%", "101%", "1", ""]))
ACCOUNT = st.fixed_dictionaries({}, optional={"create": st.booleans(), "name": NAMES, "annotations": LABELS})
PODS = {
    "priorityClassName": NAMES, "nodeSelector": LABELS, "tolerations": TOLERATIONS, "podAnnotations": LABELS,
    "podLabels": LABELS, "extraEnv": ENV, "extraVolumes": VOLUMES, "extraVolumeMounts": MOUNTS, "affinity": AFFINITY,
    "serviceAccount": ACCOUNT, "networkPolicy": st.fixed_dictionaries({}, optional={"extraEgress": EGRESS}),
}
PLUGIN = {
    **PODS, "agentResources": RESOURCES, "reporterResources": RESOURCES, "privileged": st.booleans(),
    "serviceAccountTokens": st.booleans(), "audience": TEXTS,
    "rollout": st.fixed_dictionaries({}, optional={"maxUnavailable": PERCENTS, "restartsAtOnce": NUMBERS}),
}
CONTROLLER = {
    **PODS, "resources": RESOURCES, "topologySpreadConstraints": SPREAD, "takeOver": st.booleans(), "replicas": NUMBERS,
    "configMap": st.sampled_from(["", "default/a", "default/A", "a"]),
}
TOP = {
    "commonLabels": LABELS, "metricsFrom": st.lists(PEER, max_size=2), "credentialsSecret": NAMES,
    "apiServerPorts": st.lists(NUMBERS, max_size=2),
    "platform": st.sampled_from(["generic", "ack", "openshift", "k3s"]),
    "image": st.fixed_dictionaries({}, optional={"tag": TEXTS, "pullSecrets": st.lists(NAMES, max_size=2)}),
}
# fmt: on


@st.composite
def values(draw):
    """Draw values in which some few differ from the defaults: with many, hardly a release would render."""
    few = []
    for place, drawable in (("", TOP), ("plugin", PLUGIN), ("pullSecrets", CONTROLLER)):
        few += [(place, name, drawable[name]) for name in sorted(drawable)]
    document = {"plugin": {"settings": {"registries": REGISTRIES}}, "pullSecrets": {"enabled": True}}
    for place, name, strategy in draw(st.lists(st.sampled_from(few), min_size=1, max_size=3)):
        (document.setdefault(place, {}) if place else document)[name] = draw(strategy)
    return document


def overlaid(document):
    return {**document, "image": {"repository": REPOSITORY, **document.get("image", {})}}


@pytest.fixture(scope="module")
def release(api, admin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("values")
    yield Helm(admin, folder, "default")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def outcomes():
    """Count what was refused and what was taken: a search in which one never happens shows nothing."""
    counted = Counter()
    yield counted
    assert min(counted["refused"], counted["taken"]) >= MANY // 5, counted


@settings(max_examples=MANY, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(values())
def test_what_renders_is_taken_and_what_would_not_be_taken_does_not_render(release, outcomes, document):
    file = release.folder / "drawn.yaml"
    file.write_text(json.dumps(overlaid(document)))
    rendered = helm("template", "acr", str(CHART), "--namespace=default", f"--values={file}")
    if rendered.returncode:
        assert "don't meet the specifications" in rendered.stderr or "execution error at" in rendered.stderr
        outcomes["refused"] += 1
        return
    documents = [each for each in yaml.safe_load_all(rendered.stdout) if each]
    options = ["--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts", "-f", "-"]
    release.kubectl("apply", *options, given=yaml.safe_dump_all(documents))
    outcomes["taken"] += 1
