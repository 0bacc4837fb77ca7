"""The manifests: what each Kubernetes release takes, and that the DaemonSet asks for what it needs and no more."""

import io
import re
import tarfile

import kubernetes_validate
import pack
import pytest
import yaml
from acr_credential_provider.settings import judge
from acr_node_config import agent_cli, reporter_cli
from acr_node_config.slots import slot_name
from cluster.daemonset import MANIFESTS, rendered
from unit.node_agent.fakes import Clock, FakeApi
from unit.node_agent.machine import Machine

OVERLAYS = ["base", "overlays/ack", "overlays/openshift", "overlays/k3s", "overlays/example"]
NEWER = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")  # in v1 since 1.30
COMPONENTS = ["service-account-tokens", "own-node-only", "uninstall", "without-privileged"]
RELEASES = [f"1.{minor}" for minor in range(28, 38)]
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


def with_components(tmp_path, *components):
    """Return what an operator's own overlay of *components* comes to."""
    top = tmp_path / "overlay"
    top.mkdir()
    (tmp_path / "manifests").symlink_to(MANIFESTS)
    document = {
        "resources": ["../manifests/base"],
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


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_programs_understand_the_arguments_that_they_are_given(overlay):
    documents = rendered(MANIFESTS / overlay)
    for name, cli in (("agent", agent_cli), ("reporter", reporter_cli)):
        word, verb, *arguments = container(documents, name)["args"]
        assert (word, verb) == ("node", name)
        cli._parser().parse_args(arguments)


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
    assert judge(found["data"]["settings.yaml"]).registries


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


def test_probes_ask_for_pages_that_there_are(base):
    pages = reporter_cli._pages(None, [0.0])
    port = container(base, "reporter")["ports"][0]
    for name in ("agent", "reporter"):
        probe = container(base, name)["livenessProbe"]["httpGet"]
        assert probe["path"] in pages
        assert probe["port"] == port["name"]
    assert port["containerPort"] == reporter_cli._parser().parse_args([]).port


def test_it_runs_on_every_node_and_goes_last(base):
    pod = daemonset(base)

    assert pod["priorityClassName"] == "system-node-critical"
    assert {"operator": "Exists"} in pod["tolerations"]


def test_the_uninstalling_component_says_so_to_the_agent(tmp_path):
    documents = with_components(tmp_path, "uninstall")

    arguments = container(documents, "agent")["args"][2:]
    assert agent_cli._parser().parse_args(arguments).uninstall is True


def test_the_manifests_of_a_release_are_these_under_the_paths_that_guides_name(tmp_path):
    with tarfile.open(fileobj=io.BytesIO(pack.manifests(1_700_000_000))) as packed:
        packed.extractall(tmp_path)
    (top,) = tmp_path.iterdir()
    shipped = rendered(top / "node-config/manifests/overlays/example")

    assert shipped == rendered(MANIFESTS / "overlays/example")
    assert rendered(top / "packaging/manifests/pull-secrets-as-acr-credential-helper")
    assert (top / "node-config/bootstrap/bootstrap.sh").is_file()


def test_every_object_carries_the_name_by_which_all_are_found(base):
    for document in base:
        assert document["metadata"]["labels"]["app.kubernetes.io/name"] == "aliyun-acr-credential-provider"
