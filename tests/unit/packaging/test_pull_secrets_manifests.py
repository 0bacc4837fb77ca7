"""The controller's manifests are valid for every Kubernetes we support, frugal, and of one mind with the code."""

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from acr_credential_provider.pull_secrets.commands.servers import HEALTH_PORT, WEBHOOK_PORT
from acr_credential_provider.pull_secrets.kube.event_recorder import COMPONENT
from acr_credential_provider.pull_secrets.model import names
from acr_credential_provider.pull_secrets.webhook import admission_policy, registration, serving_certificates
from acr_credential_provider.settings.identities import AddonSecretIdentity, ManagedRoleIdentity
from acr_credential_provider.settings.pull_secrets import PullSecrets
from acr_credential_provider.sources.rrsa import USUAL_FILE
from support.harness import ROOT

FOLDER = ROOT / "packaging/manifests/pull-secrets"
OVERLAY = ROOT / "packaging/manifests/pull-secrets-as-acr-credential-helper"
KUBECTL = Path(sys.executable).parent / "kubectl"
OURS = f"{names.PREFIX}-pull-secrets"
TAKE_OVER = "take-over.yaml"
POLICY = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
"""What Kubernetes knows since 1.30 only; for an older one its line is left out."""
LABELS = {"app.kubernetes.io/name": names.PREFIX, "app.kubernetes.io/component": "pull-secrets"}


def documents():
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    found = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml", TAKE_OVER}
    assert set(listed) == found
    listed.append(TAKE_OVER)
    return [document for name in listed for document in yaml.safe_load_all((FOLDER / name).read_text())]


DOCUMENTS = documents()


def one(kind, name=OURS):
    (found,) = [each for each in DOCUMENTS if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


POD = one("Deployment")["spec"]["template"]
CONTAINER = POD["spec"]["containers"][0]


@pytest.mark.parametrize("version", [f"1.{minor}" for minor in range(28, 38)])
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_it_is_valid_for_this_kubernetes(document, version):
    if document["kind"] in POLICY and version in ("1.28", "1.29"):
        pytest.skip(f"{version} knows no {document['kind']}")
    kubernetes_validate.validate(document, version, strict=True)


def test_everything_carries_the_labels_by_which_it_is_found():
    for document in DOCUMENTS:
        assert LABELS.items() <= document["metadata"]["labels"].items()
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert one(kind)["spec"]["selector"]["matchLabels"] == LABELS
    assert one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == LABELS
    assert LABELS.items() <= POD["metadata"]["labels"].items()


def test_it_stays_below_half_of_what_the_helper_uses():
    limits = CONTAINER["resources"]["limits"]
    assert int(limits["cpu"].removesuffix("m")) <= 250
    assert int(limits["memory"].removesuffix("Mi")) <= 256


def test_it_runs_as_nobody_and_may_change_nothing_of_its_image():
    security = CONTAINER["securityContext"]
    assert POD["spec"]["securityContext"]["runAsNonRoot"] is True
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_ports_are_those_that_the_program_listens_at():
    ports = {each["name"]: each["containerPort"] for each in CONTAINER["ports"]}
    assert ports == {"webhook": WEBHOOK_PORT, "health": HEALTH_PORT}
    allowed = {each["port"] for rule in one("NetworkPolicy")["spec"]["ingress"] for each in rule["ports"]}
    assert allowed == set(ports.values())


def test_the_webhooks_service_is_the_one_that_the_api_server_is_told():
    service = one("Service", registration.SERVICE)
    assert service["spec"]["selector"] == LABELS
    assert service["spec"]["ports"][0]["port"] == registration.ServiceReference("x", "y").port


def test_identities_find_their_files_where_they_look_for_them():
    mounts = {each["name"]: each["mountPath"] for each in CONTAINER["volumeMounts"]}
    volumes = {each["name"]: each for each in POD["spec"]["volumes"]}
    assert set(mounts) == set(volumes)
    token = volumes["rrsa-token"]["projected"]["sources"][0]["serviceAccountToken"]
    assert f"{mounts['rrsa-token']}/{token['path']}" == USUAL_FILE
    assert token["audience"] == "sts.aliyuncs.com"
    managed = ManagedRoleIdentity(kind="managedRole")
    item = volumes["managed-role"]["secret"]["items"][0]
    assert f"{mounts['managed-role']}/{item['path']}" == managed.token_file
    assert volumes["managed-role"]["secret"]["secretName"] == managed.secret_name
    addon = AddonSecretIdentity(kind="addonSecret")
    assert mounts["addon-secret"] == addon.directory
    assert volumes["addon-secret"]["secret"]["secretName"] == addon.secret_name
    assert all(volumes[name]["secret"]["optional"] for name in ("managed-role", "addon-secret"))


def test_rights_name_the_objects_that_the_code_names():
    rules = one("ClusterRole", f"{names.PREFIX}-pull-secrets")["rules"]
    named = {rule["resources"][0]: rule["resourceNames"] for rule in rules if "resourceNames" in rule}
    assert named["secrets"] == [PullSecrets().secret_name]
    assert named["mutatingwebhookconfigurations"] == [registration.NAME]
    own = [
        (rule["resources"][0], name)
        for rule in one("Role", f"{names.PREFIX}-pull-secrets")["rules"]
        for name in rule.get("resourceNames", [])
    ]
    assert own == [
        ("configmaps", "acr-configuration"),
        ("secrets", names.TOKENS_NAME),
        ("secrets", serving_certificates.SECRET),
        ("pullsecretselections", admission_policy.NAME),
        ("leases", names.LEASE_NAME),
        ("deployments", names.HELPER),
    ]
    (take_over,) = one("ClusterRole", f"{names.PREFIX}-take-over")["rules"]
    assert tuple(take_over["resourceNames"]) == names.HELPER_SECRETS


def test_nothing_may_be_read_of_secrets_that_are_not_ours():
    for document in DOCUMENTS:
        for rule in document.get("rules", []):
            if "secrets" in rule["resources"] and set(rule["verbs"]) != {"create"}:
                assert rule["resourceNames"], document["metadata"]["name"]


def test_no_right_has_a_wildcard():
    for document in DOCUMENTS:
        for rule in document.get("rules", []):
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]


@pytest.mark.parametrize(("folder", "account"), [(FOLDER, OURS), (OVERLAY, "aliyun-acr-credential-helper")])
def test_the_overlay_for_trust_policies_patches_what_is_there(folder, account):
    """As kubectl renders it: who runs, who may, and nobody else."""
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    (made,) = [each["metadata"]["name"] for each in rendered if each["kind"] == "ServiceAccount"]
    (deployment,) = [each for each in rendered if each["kind"] == "Deployment"]
    subjects = [each["subjects"] for each in rendered if each["kind"].endswith("RoleBinding")]
    (policy,) = [each["spec"] for each in rendered if each["kind"] == POLICY[0]]
    assert made == deployment["spec"]["template"]["spec"]["serviceAccountName"] == account
    assert subjects == [[{"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}]] * 2
    assert f'endsWith(":{account}")' in policy["matchConditions"][0]["expression"]


def test_the_policy_names_the_objects_that_the_code_names():
    spec = one("ValidatingAdmissionPolicy", f"{OURS}-own-objects")["spec"]
    variables = {each["name"]: each["expression"] for each in spec["variables"]}
    text = yaml.safe_dump(spec, width=10000)
    assert json.loads(variables["names"]) == [PullSecrets().secret_name]
    assert tuple(json.loads(variables["namesOfTheHelper"])) == names.HELPER_SECRETS
    assert f'["{names.TOKENS_NAME}", "{serving_certificates.SECRET}"]' in variables["isOwnSecret"]
    assert names.LABEL in variables["isPullSecret"]
    assert names.SECRET_TYPE in variables["isPullSecret"]
    for name in (names.LEASE_NAME, registration.NAME, COMPONENT):
        assert f'== "{name}"' in text
    assert f'.?name.orValue("") == "{registration.SERVICE}"' in text
