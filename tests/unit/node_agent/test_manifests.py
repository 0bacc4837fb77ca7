"""The manifests: what each Kubernetes release takes, and that the DaemonSet asks for what it needs and no more."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import kubernetes_validate
import pytest
import yaml
from acr_credential_provider.settings.cluster_origin import ClusterOrigin
from acr_node_config.commands import reporter_cli
from acr_node_config.reporter.restart_leases import slot_name
from acr_node_config.rollout import agent_status, json_exchange
from acr_node_config.rollout.agent_status import STATUS, AgentStatus
from cluster.daemonset import MANIFESTS, rendered
from support.judged import problems_of
from support.workloads import checks_of, containers_of, parsed, pods_of, port_in, unresolved
from unit.node_agent.fakes import Clock, FakeApi
from unit.node_agent.machine import Machine

from dist import archives

OVERLAYS = ["base", "overlays/ack", "overlays/openshift", "overlays/k3s", "overlays/example"]
NEWER = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")  # in v1 since 1.30
COMPONENTS = ["service-account-tokens", "network-policy", "own-node-only", "uninstall", "without-privileged"]
RELEASES = [f"1.{minor}" for minor in range(28, 38)]
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
PULL_SECRETS = MANIFESTS.parents[1] / "packaging/manifests"
# None, each, all. The example has one of them already.
COMBINATIONS = [
    (overlay, tuple(each for each in chosen if (overlay, each) != ("overlays/example", "own-node-only")))
    for overlay in OVERLAYS
    for chosen in ([], *([each] for each in COMPONENTS), COMPONENTS)
]


def with_components(tmp_path, *components, overlay="base"):
    """Return what an operator's own overlay of *components* comes to."""
    top = tmp_path / "overlay"
    top.mkdir()
    (tmp_path / "manifests").symlink_to(MANIFESTS)
    document = {
        "resources": [f"../manifests/{overlay}"],
        "components": [f"../manifests/components/{each}" for each in components],
    }
    (top / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return rendered(top)


def daemonset(documents):
    (found,) = (each for each in documents if each["kind"] == "DaemonSet")
    return found["spec"]["template"]["spec"]


def container(documents, name):
    (found,) = (each for each in daemonset(documents)["containers"] if each["name"] == name)
    return found


@pytest.fixture(scope="module")
def base():
    return rendered(MANIFESTS / "base")


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("release", RELEASES)
def test_every_release_knows_every_field(overlay, release):
    for document in rendered(MANIFESTS / overlay):
        if release not in ("1.28", "1.29") or document["kind"] not in NEWER:
            kubernetes_validate.validate(document, release, strict=True)


@pytest.mark.parametrize("component", COMPONENTS)
def test_components_fit_into_an_operators_own_overlay(tmp_path, component):
    for document in with_components(tmp_path, component):
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_a_misspelt_field_would_be_noticed(base):
    (found,) = (each for each in base if each["kind"] == "DaemonSet")
    broken = yaml.safe_load(yaml.safe_dump(found).replace("imagePullPolicy", "imagePullPolcy"))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.34", strict=True)


@pytest.mark.parametrize(("overlay", "components"), COMBINATIONS)
def test_the_programs_understand_the_arguments_of_each_overlay_with_each_component(tmp_path, overlay, components):
    documents = with_components(tmp_path, *components, overlay=overlay)

    (pod,) = pods_of(documents)
    agent, reporter = (parsed(each["args"]) for each in containers_of(pod))
    assert agent.uninstall == ("uninstall" in components)
    assert agent.installer == (["--mode=files-only"] if overlay == "overlays/openshift" else [])
    assert reporter.slots == 1


@pytest.mark.parametrize("folder", ["pull-secrets", "pull-secrets-as-acr-credential-helper"])
def test_the_controller_understands_its_arguments(folder):
    (pod,) = pods_of(rendered(PULL_SECRETS / folder))
    (container,) = containers_of(pod)
    assert parsed(container["args"]).namespace == "$(POD_NAMESPACE)"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_uninstalling_agent_of_each_overlay_makes_a_node_what_it_was(tmp_path, overlay):
    """The program itself, with the arguments as they are but for the folders and the reporter's grants."""
    arguments = container(with_components(tmp_path, "uninstall", overlay=overlay), "agent")["args"]
    host, status = tmp_path / "host", tmp_path / "status"
    for folder in (host / "var/lib", host / "etc", status):
        folder.mkdir(parents=True)
    places = {"--host-root": host, "--status-dir": status}
    words = [f"{name}={places[name]}" if (name := each.partition("=")[0]) in places else each for each in arguments]
    words = [each for each in words if not each.startswith("--lease-dir=")]  # there is no reporter to grant anything
    command = [sys.executable, "-m", "acr_credential_provider", *words]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "NODE_NAME": "node-1"}
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, env=environment, stderr=log) as agent:
        try:
            state = _state_of(status, agent)
        finally:
            agent.send_signal(signal.SIGTERM)

    assert state == agent_status.UNINSTALLED, (tmp_path / "log").read_text()


def _state_of(folder, agent):
    """Return the state that the *agent* comes to, "" if it ends before."""
    end = time.monotonic() + 60
    while time.monotonic() < end and agent.poll() is None:
        document = json_exchange.get(str(folder), STATUS)
        if document is not None and (state := AgentStatus.from_dict(document).state) != agent_status.STARTING:
            return state
        time.sleep(0.1)
    return ""


def test_uninstalling_on_openshift_is_what_its_guide_says(tmp_path):
    """Its lines are typed as they stand there, beside a cluster that only renders."""
    guide = (MANIFESTS.parents[1] / "docs/install/openshift.md").read_text()
    shutil.copytree(MANIFESTS, tmp_path / "node-config/manifests")
    (copying,) = re.findall(r"^cp -r .*", guide, re.MULTILINE)
    subprocess.run(["sh", "-ec", copying], cwd=tmp_path, check=True)
    mine = tmp_path / copying.split()[3] / "kustomization.yaml"
    (resource,) = re.findall(r"resources: (\S+)", copying)
    _, uninstalling = guide.split("## Uninstall")
    (component,) = re.findall(r"oc apply -k \S+ +# with components: (\S+)", uninstalling)

    document = yaml.safe_load(mine.read_text())
    document["resources"] = [resource]
    mine.write_text(yaml.safe_dump(document))
    installing = container(rendered(mine.parent), "agent")["args"]
    document["components"].append(component)
    mine.write_text(yaml.safe_dump(document))
    undoing = container(rendered(mine.parent), "agent")["args"]

    assert parsed(installing).uninstall is False
    assert parsed(undoing).uninstall is True
    assert parsed(undoing).installer == parsed(installing).installer == ["--mode=files-only"]


def test_an_overlay_like_the_example_tells_the_agent_the_image_that_it_runs_from():
    agent = container(rendered(MANIFESTS / "overlays/example"), "agent")
    environment = {each["name"]: each.get("value") for each in agent["env"]}

    assert agent["image"] == "registry.example.com/tools/aliyun-acr-credential-provider:VERSION"
    assert environment["OWN_IMAGE"] == agent["image"]


def test_the_examples_settings_are_mounted_where_the_agent_looks_and_are_valid():
    documents = rendered(MANIFESTS / "overlays/example")
    (found,) = (each for each in documents if each["kind"] == "ConfigMap")
    (volume,) = (each for each in daemonset(documents)["volumes"] if each["name"] == "settings")

    assert volume["configMap"]["name"] == found["metadata"]["name"]
    assert volume["configMap"]["optional"] is True
    assert problems_of(found["data"]["settings.yaml"], origin=ClusterOrigin()) == []


def test_only_the_unprivileged_container_has_a_token_and_only_the_other_one_has_the_host(base):
    pod = daemonset(base)
    mounts = {name: {each["name"] for each in container(base, name)["volumeMounts"]} for name in ("agent", "reporter")}

    assert pod["automountServiceAccountToken"] is False
    assert mounts["agent"] == {"host", "settings", "credentials", "status", "grants"}
    assert mounts["reporter"] == {"status", "grants", "token"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    security = container(base, "reporter")["securityContext"]
    assert (security["allowPrivilegeEscalation"], security["runAsNonRoot"]) == (False, True)
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_what_one_container_writes_the_other_can_only_read(base):
    read_only = {
        (name, each["name"]): each.get("readOnly", False)
        for name in ("agent", "reporter")
        for each in container(base, name)["volumeMounts"]
    }

    assert (read_only["agent", "status"], read_only["reporter", "status"]) == (False, True)
    assert (read_only["agent", "grants"], read_only["reporter", "grants"]) == (True, False)


def test_there_is_a_lease_and_a_right_to_it_for_each_slot_that_the_reporter_uses(base):
    (slots,) = (int(each.partition("=")[2]) for each in container(base, "reporter")["args"] if "--slots=" in each)
    leases = {each["metadata"]["name"] for each in base if each["kind"] == "Lease"}
    rules = [rule for each in base if each["kind"] == "Role" for rule in each["rules"] if "leases" in rule["resources"]]

    assert {slot_name(number) for number in range(slots)} < leases
    assert {name for rule in rules for name in rule["resourceNames"]} == leases


def test_the_reporter_may_do_what_it_does_and_nothing_else(base, tmp_path):
    api, clock = FakeApi(nodes=("node-1",)), Clock()
    machine = Machine(tmp_path, clock, api=api)
    machine.push("match: x\n")
    machine.node.lives_with = lambda config: False
    machine.run(60)
    done = {asked(method, path) for method, path in api.calls}

    allowed = {
        (verb, resource, name, namespace)
        for each in base
        if each["kind"] in ("Role", "ClusterRole")
        for rule in each["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for namespace in [each["metadata"].get("namespace", "")]
    }
    assert done == allowed


def asked(method, path):
    verb = {"GET": "get", "PUT": "update", "PATCH": "patch", "POST": "create"}[method]
    parts = re.fullmatch(
        r"/apis?/(?:[a-z.0-9-]+/)?v1/(?:namespaces/([^/]+)/)?([a-z]+)(?:/([^/]+)(?:/(status))?)?", path
    )
    namespace, resource, name, sub = parts.groups()
    if sub:
        resource += "/status"
    return verb, resource, (name or "") if resource == "leases" else "", namespace or ""


def test_probes_ask_for_pages_that_there_are_where_they_are_served(base):
    pages = reporter_cli._pages(None, [0.0])
    port = reporter_cli._parser().parse_args([]).port
    probes = {
        (each["name"], name): target for each in daemonset(base)["containers"] for name, target in checks_of(each)
    }

    assert probes.keys() == {("agent", "livenessProbe"), ("reporter", "livenessProbe")}
    for (name, _), target in probes.items():
        assert target["path"] in pages
        assert port_in(container(base, name), target["port"]) == port


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_port_of_an_overlay_is_found_where_kubernetes_looks_for_it(overlay):
    assert unresolved(rendered(MANIFESTS / overlay)) == []


@pytest.mark.parametrize("folder", ["pull-secrets", "pull-secrets-as-acr-credential-helper"])
def test_every_port_of_the_controller_is_found_where_kubernetes_looks_for_it(folder):
    assert unresolved(rendered(PULL_SECRETS / folder)) == []


def test_a_port_of_another_container_is_no_port_of_a_probe(base):
    """A probe's name is looked up in its own container, whatever the others of the pod declare."""
    broken = yaml.safe_load(yaml.safe_dump(base))
    container(broken, "agent")["livenessProbe"]["httpGet"]["port"] = "health"
    assert unresolved(broken) == ["livenessProbe of agent: port health not found in agent"]


def test_a_port_that_nobody_serves_is_found(base):
    broken = yaml.safe_load(yaml.safe_dump(base))
    container(broken, "agent")["livenessProbe"]["httpGet"]["port"] = 9809
    container(broken, "reporter")["lifecycle"] = {"preStop": {"httpGet": {"path": "/", "port": "bye"}}}
    assert unresolved(broken) == [
        "livenessProbe of agent: nothing listens at 9809",
        "preStop of reporter: port bye not found in reporter",
    ]


def test_it_runs_on_every_node_and_goes_last(base):
    pod = daemonset(base)

    assert pod["priorityClassName"] == "system-node-critical"
    assert {"operator": "Exists"} in pod["tolerations"]


def test_the_manifests_of_a_release_are_these_under_the_paths_that_guides_name(tmp_path):
    with tarfile.open(fileobj=io.BytesIO(archives.manifests(1_700_000_000))) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # not in every Python 3.11
        packed.extractall(tmp_path)
    (top,) = tmp_path.iterdir()
    shipped = rendered(top / "node-config/manifests/overlays/example")

    assert shipped == rendered(MANIFESTS / "overlays/example")
    assert rendered(top / "packaging/manifests/pull-secrets-as-acr-credential-helper")
    assert (top / "node-config/bootstrap/bootstrap.sh").is_file()


def test_every_object_carries_the_name_by_which_all_are_found(base):
    for document in base:
        assert document["metadata"]["labels"]["app.kubernetes.io/name"] == "aliyun-acr-credential-provider"
