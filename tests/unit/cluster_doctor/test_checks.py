"""Each usual cause of a failing pull is found, told from the others, and has a remedy; nothing else is reported."""

import json

import pytest
from acr_credential_provider import acr_configuration
from acr_credential_provider.cluster_doctor.checks import run_cluster_checks
from acr_credential_provider.cluster_doctor.snapshot import Cluster, Configuration
from acr_credential_provider.settings import ProviderSettings
from support.judged import from_document, validate_conversion

HOST = "demo-registry.cn-hangzhou.cr.aliyuncs.com"
IMAGE = f"{HOST}/team/app:1"
OURS = "acr-credential-aliyun"
SECRET = "CANARYSECRET"
ENTRY = {"instanceId": "cri-a", "region": "cn-hangzhou", "identity": {"kind": "nodeRole"}}


def settings(*registries):
    document = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings"}
    return from_document(document | {"registries": list(registries) or [ENTRY]})


def converted(data, **annotations):
    conversion = acr_configuration.convert(json.dumps({"data": data}), place="controller", keys_directory="/keys")
    judged = validate_conversion(conversion)
    usable = judged if isinstance(judged, ProviderSettings) else None
    return Configuration(usable, conversion.problems, conversion.changes, data, annotations)


def pod(name="app-1", namespace="team", account="default", *, image=IMAGE, secrets=(), waiting="ErrImagePull", **spec):
    told = f"{spec.pop('message', '')} {SECRET}"
    state = {"waiting": {"reason": waiting, "message": told}} if waiting else {"running": {}}
    pulls = {"imagePullSecrets": [{"name": each} for each in secrets]} if secrets else {}
    return {
        "metadata": {"name": name, "namespace": namespace, **spec.pop("metadata", {})},
        "spec": {"serviceAccountName": account, **pulls, **spec},
        "status": {"containerStatuses": [{"image": image, "state": state}]},
    }


def account(*secrets, name="default", namespace="team"):
    return {
        "metadata": {"name": name, "namespace": namespace},
        "imagePullSecrets": [{"name": each} for each in secrets],
    }


def deployment(name, namespace="kube-system", replicas=1, **labels):
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": {"replicas": replicas}}


OUR_DEPLOYMENT = deployment("pull-secrets", **{"app.kubernetes.io/name": "aliyun-acr-credential-provider"})
NODE = {"metadata": {"name": "node-1", "labels": {"topology.kubernetes.io/region": "cn-hangzhou"}}}


def cluster(**changes):
    usual = {
        "found_configuration": Configuration(settings()),
        "selects": lambda namespace, account: namespace["metadata"]["name"] == "team",
        "namespaces": [{"metadata": {"name": "team"}}],
        "accounts": [account(OURS)],
        "pods": [],
        "deployments": [OUR_DEPLOYMENT],
        "nodes": [NODE],
        "events": [],
    }
    return Cluster(**usual | changes)


def told(found):
    """Return check to problem for all that is not well."""
    results = run_cluster_checks(found)
    bad = [each for each in results if each.status in ("failed", "warning")]
    assert all(each.remedy for each in bad)
    assert all(each.detail for each in results if each.status == "skipped")
    assert SECRET not in repr(results)
    return {each.name: f"{each.location}: {each.detail}" for each in bad}


def statuses(found):
    return {each.name: each.status for each in run_cluster_checks(found)}


def test_a_cluster_without_trouble_has_nothing_to_tell():
    running = pod(waiting="", secrets=["theirs"])
    assert told(cluster(pods=[running])) == {}


def test_a_pull_that_fails_with_everything_in_place_leads_to_rights_and_images():
    found = told(cluster(pods=[pod(secrets=[OURS])]))
    assert list(found) == ["rights and images"]
    assert "team/app-1" in found["rights and images"]
    assert IMAGE in found["rights and images"]


@pytest.mark.parametrize("region", [None, "cn-hangzhou"])
def test_an_image_of_another_region_than_the_entries_is_named_with_both(region):
    entry = {"instanceId": "cri-a", "identity": {"kind": "nodeRole"}} | ({"region": region} if region else {})
    image = "demo-registry.cn-beijing.cr.aliyuncs.com/team/app"
    found = told(cluster(found_configuration=Configuration(settings(entry)), pods=[pod(image=image)]))
    assert list(found) == ["registry entry"]
    assert "no entry is in cn-beijing, the region of" in found["registry entry"]
    assert "there are entries in cn-hangzhou" in found["registry entry"]


def test_images_that_are_not_of_acr_are_not_our_business():
    images = ["docker.io/library/nginx", "nginx", "quay.io/team/app"]
    assert told(cluster(pods=[pod(name=each[:3], image=each) for each in images])) == {}


def test_the_indentation_of_the_configuration_is_told_with_its_field():
    data = {"acr-registry-info": "- instanceId: cri-a\n   regionId: cn-hangzhou\n  domains: [a\n"}
    findings = run_cluster_checks(cluster(found_configuration=converted(data), pods=[pod()]))
    form = next(each for each in findings if each.name == "configuration's form")
    assert form.status in ("failed", "warning")
    assert form.remedy


def test_a_key_that_was_read_otherwise_than_written_is_a_warning():
    data = {"acr-registry-info": 'instanceId: "cri-a"\nregionId: cn-hangzhou\n'}  # without its dash
    found = cluster(found_configuration=converted(data))
    assert "read as a list of instances" in told(found)["configuration's form"]
    assert statuses(found)["configuration's form"] == "warning"


def test_a_pod_that_was_made_before_its_account_had_the_secret_is_told_to_be_made_anew():
    found = told(cluster(pods=[pod(secrets=[])]))
    assert list(found) == ["Pods before their pull secret"]
    assert "created before" in found["Pods before their pull secret"]


def test_a_pod_with_its_accounts_other_secrets_alone_is_early_too():
    found = told(cluster(accounts=[account("default-dockercfg-x", OURS)], pods=[pod(secrets=["default-dockercfg-x"])]))
    assert list(found) == ["Pods before their pull secret"]


def test_an_account_that_still_waits_for_its_secret_leads_to_the_controller():
    found = told(cluster(accounts=[account()], pods=[pod()]))
    assert "has no pull secret of ours yet" in found["Pods before their pull secret"]


def test_a_workloads_own_pull_secrets_are_told_to_switch_off_its_accounts():
    found = told(cluster(pods=[pod(secrets=["mine"]), pod("app-2", secrets=["mine"])]))
    assert list(found) == ["workloads' own pull secrets"]
    assert found["workloads' own pull secrets"].startswith("team/app-1, team/app-2: ")
    assert "(mine)" in found["workloads' own pull secrets"]


def test_entries_that_name_no_secret_are_not_repeated():
    odd = pod(secrets=["mine", "", "\x1b[31mred", "UPPER"])
    odd["spec"]["imagePullSecrets"] += [{}, None]
    found = told(cluster(pods=[odd], accounts=[{**account(OURS), "imagePullSecrets": [{}, None, {"name": OURS}]}]))
    assert "(mine)" in found["workloads' own pull secrets"]


def test_an_account_that_is_not_in_the_list_is_named():
    pods = [pod(namespace="other", account="robot"), pod("app-2", namespace="other", account="robot", secrets=["x"])]
    found = told(cluster(pods=pods))
    assert list(found) == ["ServiceAccount selected"]
    assert "other/robot" in found["ServiceAccount selected"]


def test_a_pod_that_asks_by_ecis_annotation_outside_of_eci_is_told_to_let_its_namespace_ask():
    metadata = {"annotations": {"k8s.aliyun.com/acr-instance-id": "cn-hangzhou:cri-a,<cri-b>;rm"}}
    pods = [pod("app-1", namespace="other", metadata=metadata), pod("app-2", namespace="other")]
    (finding,) = [each for each in run_cluster_checks(cluster(pods=pods)) if each.status == "failed"]
    assert "asks for nothing outside of ECI" in finding.detail
    command = "kubectl annotate namespace other k8s.aliyun.com/acr-instance-ids=cn-hangzhou:cri-a"
    assert finding.remedy.endswith(command)


@pytest.mark.parametrize("where", ["data", "annotation"])
def test_an_access_key_in_the_configmap_is_told_and_never_quoted(where):
    info = f"- instanceId: cri-a\n  customAccessKey: LTAI5tExample0000000\n  customAccessKeySecret: {SECRET}\n"
    if where == "data":
        configuration = converted({"acr-registry-info": info})
    else:
        name = "kubectl.kubernetes.io/last-applied-configuration"
        configuration = converted({"acr-registry-info": "- instanceId: cri-a"}, **{name: json.dumps(info)})
    found = told(cluster(found_configuration=configuration))
    assert "access key in clear text" in found["access keys"]
    assert ("annotation" in found["access keys"]) == (where == "annotation")


RRSA = {
    "instanceId": "cri-a",
    "region": "cn-hangzhou",
    "identity": {
        "kind": "rrsa",
        "roleArn": "acs:ram::1111111111111111:role/a",
        "oidcProviderArn": "acs:ram::1111111111111111:oidc-provider/ack-rrsa-c1",
    },
}


def controller(*audiences):
    sources = [{"serviceAccountToken": {"audience": each, "path": "token"}} for each in audiences]
    volumes = [{"name": "token", "projected": {"sources": sources}}]
    name = "aliyun-acr-credential-helper"
    return pod(name, "kube-system", name, image="x", waiting="", volumes=volumes)


@pytest.mark.parametrize("audiences", [[], ["https://kubernetes.default.svc"]])
def test_a_controller_that_is_older_than_rrsa_is_told_to_be_made_anew(audiences):
    found = told(cluster(found_configuration=Configuration(settings(RRSA)), pods=[controller(*audiences)]))
    assert list(found) == ["RRSA token"]
    assert "RRSA was enabled" in found["RRSA token"]


def test_the_remedy_for_rrsa_says_where_the_oidc_provider_is_to_be_seen():
    findings = run_cluster_checks(cluster(found_configuration=Configuration(settings(RRSA)), pods=[controller()]))
    remedy = next(each.remedy for each in findings if each.name == "RRSA token")
    assert "Security and Auditing" in remedy
    assert "URL and ARN" in remedy


def test_a_controller_with_a_token_for_sts_is_well():
    assert told(cluster(found_configuration=Configuration(settings(RRSA)), pods=[controller("sts.aliyuncs.com")])) == {}


def test_a_session_that_is_longer_than_usual_names_the_role_that_must_allow_it():
    role = "acs:ram::2222222222222222:role/pull"
    entry = ENTRY | {"assumeRole": [{"roleArn": role, "sessionDuration": "12h"}]}
    found = cluster(found_configuration=Configuration(settings(entry)))
    assert role in told(found)["session duration"]
    assert "43200 s" in told(found)["session duration"]
    assert statuses(found)["session duration"] == "warning"


def test_a_session_that_sts_refused_is_found_in_the_events():
    event = {"message": "STS refused it; Raise the maximum session duration of acs:ram::1:role/x to 43200 s"}
    found = cluster(events=[event])
    assert "longer than its role allows" in told(found)["session duration"]
    assert statuses(found)["session duration"] == "failed"


def test_system_namespaces_that_get_the_secret_are_named():
    found = told(cluster(system_namespaces=["kube-system"]))
    assert list(found) == ["system namespaces"]
    assert found["system namespaces"].startswith("kube-system: ")


def test_two_controllers_of_the_same_accounts_are_told():
    found = told(cluster(deployments=[OUR_DEPLOYMENT, deployment("aliyun-acr-credential-helper")]))
    assert list(found) == ["controllers"]
    assert "runs beside" in found["controllers"]


@pytest.mark.parametrize(
    "deployments",
    [
        [deployment("aliyun-acr-credential-helper")],
        [deployment("aliyun-acr-credential-helper", replicas=0), OUR_DEPLOYMENT],
        [deployment("aliyun-acr-credential-helper", **{"app.kubernetes.io/name": "aliyun-acr-credential-provider"})],
    ],
    ids=["the helper alone", "the helper at rest", "ours under its name"],
)
def test_one_controller_is_well_whoever_it_is(deployments):
    assert told(cluster(deployments=deployments)) == {}


@pytest.mark.parametrize("component", ["", "node"])
def test_no_controller_at_all_is_a_warning(component):
    name = {"app.kubernetes.io/name": "aliyun-acr-credential-provider", "app.kubernetes.io/component": component}
    others = [deployment("reporter", **name)] if component else []
    assert statuses(cluster(deployments=others))["controllers"] == "warning"


def test_without_a_configuration_that_is_all_there_is_to_say():
    found = cluster(found_configuration=None)
    assert list(told(found)) == ["configuration"]


def test_what_may_not_be_read_is_skipped_and_said():
    found = cluster(pods=None, accounts=None, deployments=None, nodes=None, events=None, namespaces=None)
    assert told(found) == {}
    assert {name for name, outcome in statuses(found).items() if outcome == "skipped"} >= {
        "controllers",
        "registry entry",
        "rights and images",
    }


def test_many_pods_of_one_cause_are_one_finding():
    pods = [pod(f"app-{number}", secrets=["mine"]) for number in range(3000)]
    (problem,) = told(cluster(pods=pods)).values()
    assert "and 2995 more: " in problem


def node(name, status, message="as told"):
    conditions = [{"type": "ACRCredentialProviderReady", "status": status, "message": message}]
    return {"metadata": {"name": name, "labels": {}}, "status": {"conditions": conditions}}


def test_where_the_kubelet_asks_the_plugin_no_pull_secret_is_blamed():
    pods = [pod(secrets=["mine"], nodeName="node-2"), pod("app-2", namespace="other", nodeName="node-2")]
    found = told(cluster(pods=pods, nodes=[NODE, node("node-2", "True")]))
    assert list(found) == ["node plugin"]
    assert found["node plugin"].startswith("team/app-1, other/app-2: not pulled on node node-2")


def test_a_node_whose_plugin_does_not_work_is_named_and_its_pods_need_pull_secrets():
    nodes = [NODE, node("node-2", "False", "the kubelet refuses its configuration")]
    found = told(cluster(pods=[pod(secrets=["mine"], nodeName="node-2")], nodes=nodes))
    assert list(found) == ["node plugin", "workloads' own pull secrets"]
    assert "the kubelet refuses its configuration" in found["node plugin"]


def test_an_image_that_would_do_something_in_a_shell_is_not_repeated():
    evil = f"{HOST}/team/app;reboot\n$(x)"
    for nodes in ([NODE], [NODE, node("node-2", "True")]):
        findings = run_cluster_checks(cluster(pods=[pod(image=evil, secrets=[OURS], nodeName="node-2")], nodes=nodes))
        assert "reboot" not in repr(findings)
        assert any(HOST in each.detail + each.remedy for each in findings)


NAMED = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": '


@pytest.mark.parametrize(
    ("message", "check", "words"),
    [
        (NAMED + "failed to authorize: unexpected status: 401 Unauthorized", "rights and images", "refuses"),
        ("pull access denied, repository does not exist or may require authorization", "rights and images", "refuses"),
        (NAMED + f"{IMAGE}: not found", "rights and images", "does not know"),
        ("reading manifest 1: manifest unknown", "rights and images", "does not know"),
        ("Back-off pulling image", "rights and images", "is not pulled although"),
        (f"dial tcp: lookup {HOST} on 10.0.0.2:53: no such host", "registry reachable", "cannot be reached"),
        ("dial tcp 10.1.1.1:443: i/o timeout", "registry reachable", "cannot be reached"),
        (
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "registry reachable",
            "reached",
        ),
    ],
)
def test_what_the_runtime_says_tells_network_image_and_rights_apart(message, check, words):
    found = told(cluster(pods=[pod(secrets=[OURS], message=message)]))
    assert list(found) == [check]
    assert words in found[check]


def test_where_the_registry_cannot_be_reached_no_pull_secret_is_blamed():
    found = told(cluster(pods=[pod(secrets=["mine"], namespace="other", message="dial tcp: i/o timeout")]))
    assert list(found) == ["registry reachable"]
