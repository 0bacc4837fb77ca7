"""What operators get of the chart, as Helm renders it."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from acr_credential_provider.kubelet.image_match import explain_mismatch
from acr_credential_provider.settings.cluster_origin import ClusterOrigin
from acr_credential_provider.settings.match_images import match_images
from chart.helm import CHART, NAMESPACE, SETS, VALUES, helm, objects, rendered
from support.judged import problems_of, validate
from support.workloads import containers_of, parsed, pods_of, unresolved

from dist import archives

GOLDEN = Path(__file__).parent / "golden"
NAME = "aliyun-acr-credential-provider"
SETTINGS = '{"registries": [{"instanceId": "cri-0123456789abcdef", "identity": {"kind": "nodeRole"}}]}'
VERSIONS = [f"1.{minor}" for minor in range(28, 38)]
HOOKS = "mutatingwebhookconfigurations"
NOT_KUBERNETES = {"PodMonitor", "PrometheusRule"}
SINCE = {"ValidatingAdmissionPolicy": 30, "ValidatingAdmissionPolicyBinding": 30}
"""The first minor version whose schemas know the kind's v1."""


@pytest.mark.parametrize("values", SETS)
def test_helm_has_nothing_to_say_against_it(values):
    done = helm("lint", "--strict", str(CHART), f"--values={VALUES / values}.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", SETS)
def test_what_is_rendered_changes_only_on_purpose(values):
    golden = GOLDEN / f"{values}.yaml"
    text = rendered(values=values)
    if os.environ.get("WRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text(), "run again with WRITE_GOLDEN=1 and look at the difference"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", SETS)
def test_each_kubernetes_knows_every_field(values, version):
    judged = 0
    for (kind, _), each in objects(rendered(values=values, version=version)).items():
        if kind not in NOT_KUBERNETES:
            assert int(version[2:]) >= SINCE.get(kind, 0), f"{version} does not know {kind}"
            kubernetes_validate.validate(each, version, strict=True)
            judged += 1
    assert judged


@pytest.mark.parametrize("version", ["1.30.0", "1.30.14-aliyun.1", "1.37.0+k3s1"])
def test_the_policies_are_there_from_the_first_kubernetes_on_that_knows_them(version):
    names = {name for kind, name in objects(rendered(values="both", version=version)) if kind in SINCE}
    assert names == {
        "aliyun-acr-credential-provider-own-node",
        "aliyun-acr-credential-provider-pull-secrets-own-objects",
    }
    older = objects(rendered(values="both", version="1.29.15-aliyun.1"))
    assert not [kind for kind, _ in older if kind in SINCE]


def test_the_newest_kubernetes_whose_schemas_there_are_is_among_them():
    assert kubernetes_validate.latest_version().startswith(f"{VERSIONS[-1]}.")


def test_a_field_that_kubernetes_does_not_know_is_found():
    daemon_set = objects(rendered(values="plugin"))["DaemonSet", "aliyun-acr-credential-provider"]
    daemon_set["spec"]["template"]["spec"]["hostPid"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(daemon_set, VERSIONS[-1], strict=True)


ENTERPRISE = {"instanceId": "cri-0123456789abcdef", "region": "cn-hangzhou", "identity": {"kind": "nodeRole"}}
PERSONAL = {"region": "cn-hangzhou", "identity": {"kind": "nodeRole"}}
NAMED = {**ENTERPRISE, "domains": ["images.example.com", "shop-registry.cn-hangzhou.cr.aliyuncs.com"]}
HOSTS = [
    *(
        "registry.example.com",
        "images.example.com",
        "images.example.com:5000",
        "notimages.example.com",
        "10.0.0.1:5000",
    ),
    *("shop-registry.cn-hangzhou.cr.aliyuncs.com", "shop-registry-vpc.cn-hangzhou.cr.aliyuncs.com"),
    *("shop-registry-vpc.distributed.cn-hangzhou.cr.aliyuncs.com:65001", "registry.cn-hangzhou.aliyuncs.com"),
    *("registry-intl-vpc.cn-hangzhou.aliyuncs.com", "registry.cn-hangzhou.aliyuncs.com.example.com", "localhost:5000"),
]


@pytest.mark.parametrize("registry", [ENTERPRISE, PERSONAL, NAMED], ids=["enterprise", "personal", "domains"])
@pytest.mark.parametrize("host", HOSTS)
def test_no_image_may_come_from_where_the_kubelet_would_ask_the_plugin(registry, host, tmp_path):
    """Judged by the matchImages that a node gets of these settings; any host of ACR's own is refused."""
    settings = {"registries": [registry]}
    (tmp_path / "values.yaml").write_text(
        yaml.safe_dump({"image": {"repository": f"{host}/tools/acr"}, "plugin": {"settings": settings}})
    )
    done = helm("template", "acr", str(CHART), f"--values={tmp_path}/values.yaml")
    document = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings", **settings}
    patterns = match_images(validate(yaml.safe_dump(document))).node
    is_asked = any(not explain_mismatch(pattern, f"{host}/tools/acr") for pattern in patterns)
    is_of_acr = re.search(r"[.]cr[.]aliyuncs[.]com(:|$)", host) is not None
    assert ("a new node could never pull it" in done.stderr) == (is_asked or is_of_acr)
    assert (done.returncode != 0) == (is_asked or is_of_acr)


def test_an_image_that_is_preloaded_may_come_from_anywhere():
    text = rendered(
        "--set=image.repository=demo-registry.cn-hangzhou.cr.aliyuncs.com/a/b", "--set=plugin.allowOwnImage=true",
        values="plugin",
    )  # fmt: skip
    assert "--allow-own-image" in text


@pytest.mark.parametrize("values", SETS)
def test_the_settings_arrive_as_a_file_that_is_taken_where_they_go(values):
    found = objects(rendered(values=values))
    places = {f"{NAME}-settings": "node", f"{NAME}-pull-secrets-settings": "controller"}
    texts = {
        name: each["data"]["settings.yaml"]
        for (kind, name), each in found.items()
        if kind == "ConfigMap" and "settings.yaml" in each.get("data", ())
    }
    assert {name: problems_of(text, places[name], ClusterOrigin()) for name, text in texts.items()} == {
        name: [] for name in texts
    }


def test_settings_for_a_place_are_judged_for_it():
    """The controller gets its token from its Pod; on a node nothing names it."""
    text = objects(rendered(values="both"))["ConfigMap", f"{NAME}-pull-secrets-settings"]["data"]["settings.yaml"]
    assert problems_of(text, "controller", ClusterOrigin()) == []
    assert problems_of(text, "node", ClusterOrigin())


def test_nothing_of_the_privileged_half_reaches_the_cluster():
    pod = objects(rendered(values="everything"))["DaemonSet", "aliyun-acr-credential-provider"]["spec"]["template"][
        "spec"
    ]
    assert pod["automountServiceAccountToken"] is False
    agent, reporter = pod["containers"]
    assert [each["name"] for each in agent["volumeMounts"]] == [
        *("host", "settings", "credentials", "status", "grants"),
        "authorities",
    ]
    assert agent["securityContext"]["privileged"]
    assert "hostNetwork" not in pod
    assert reporter["securityContext"]["runAsNonRoot"]
    assert reporter["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "host" not in [each["name"] for each in reporter["volumeMounts"]]


def test_a_slot_is_a_lease_and_a_right_to_it():
    found = objects(rendered(values="ack"))
    leases = {name for kind, name in found if kind == "Lease"}
    role = found["Role", "aliyun-acr-credential-provider-slots"]
    assert leases == set(role["rules"][0]["resourceNames"])
    assert len(leases) == 1 + 3


@pytest.mark.parametrize("values", SETS)
def test_every_port_is_found_where_kubernetes_looks_for_it(values):
    assert unresolved(list(objects(rendered(values=values)).values())) == []


@pytest.mark.parametrize("uninstall", ["false", "true"])
@pytest.mark.parametrize("platform", ["generic", "ack", "openshift", "k3s"])
@pytest.mark.parametrize("values", SETS)
def test_the_programs_understand_the_arguments_on_each_platform(values, platform, uninstall):
    words = [
        f"--set=platform={platform}",
        f"--set=plugin.uninstall={uninstall}",
        f"--set-json=plugin.settings={SETTINGS}",
    ]
    found = objects(rendered(*words, values=values))
    options = {each["name"]: parsed(each["args"]) for pod in pods_of(found.values()) for each in containers_of(pod)}
    assert options
    if "agent" in options:
        assert options["agent"].uninstall == (uninstall == "true")
        assert (options["agent"].installer[:1] == ["--mode=files-only"]) == (platform == "openshift")


def webhook_verbs(*words, values, version=""):
    """Return by ClusterRole what may be done with webhooks' configurations."""
    return {
        name: {verb for rule in role["rules"] if HOOKS in rule["resources"] for verb in rule["verbs"]}
        for (kind, name), role in objects(rendered(*words, values=values, version=version)).items()
        if kind == "ClusterRole" and any(HOOKS in rule["resources"] for rule in role["rules"])
    }


def test_the_right_to_configure_a_webhook_is_there_only_where_it_is_switched_on():
    ours, more = "aliyun-acr-credential-provider-pull-secrets", "aliyun-acr-credential-provider-webhook"
    never = {ours: {"get", "delete"}}
    always = {**never, more: {"create", "update"}}
    in_settings = "--set=pullSecrets.settings.pullSecrets.admission.mode="
    assert webhook_verbs(f"{in_settings}none", values="both") == never
    assert webhook_verbs(f"{in_settings}webhook", values="both") == always
    # Where the API server can do without, auto needs no webhook.
    assert webhook_verbs(f"{in_settings}auto", values="both", version="1.36") == never
    assert webhook_verbs(f"{in_settings}auto", values="both", version="1.35") == always
    off = "--set=pullSecrets.admissionPolicy.enabled=false"
    assert webhook_verbs(f"{in_settings}auto", off, values="both", version="1.36") == always
    words = ["--set=plugin.enabled=false,pullSecrets.enabled=true"]
    assert webhook_verbs(*words, values="plugin") == never
    assert webhook_verbs(*words, "--set=pullSecrets.webhook.enabled=true", values="plugin") == always


@pytest.mark.parametrize("without", ["plugin.ownNodeOnly", "pullSecrets.ownObjectsOnly"])
def test_what_no_policy_limits_is_said(without):
    words = ["--dry-run=client", f"--values={VALUES / 'both'}.yaml", f"--namespace={NAMESPACE}"]
    assert "no policy limits" not in helm("install", "acr", str(CHART), *words).stdout
    assert "no policy limits" in helm("install", "acr", str(CHART), *words, f"--set={without}=false").stdout


def test_no_two_selectors_claim_the_same_pods():
    found = objects(rendered(values="both"))
    specs = [each["spec"] for (kind, _), each in found.items() if kind in ("DaemonSet", "Deployment")]
    labels = [each["template"]["metadata"]["labels"] for each in specs]
    matches = [each["selector"]["matchLabels"].items() <= label.items() for each in specs for label in labels]
    assert len(specs) == matches.count(True) == 2


def test_the_secret_that_settings_name_is_the_one_that_may_be_written():
    role = objects(rendered(values="both"))["ClusterRole", "aliyun-acr-credential-provider-pull-secrets"]
    assert ["acr-credential-shop"] in [rule.get("resourceNames") for rule in role["rules"]]


@pytest.mark.parametrize("namespace", ["kube-system", "acr"])
def test_wherever_the_controller_runs_it_may_see_what_lies_in_kube_system(namespace):
    words = ["--set=plugin.enabled=false,pullSecrets.enabled=true", f"--namespace={namespace}"]
    found = objects(rendered(*words, values="plugin"))
    roles = [role for (kind, _), role in found.items() if kind == "Role"]
    granted = {
        (role["metadata"]["namespace"], name)
        for role in roles
        for rule in role["rules"]
        for name in rule.get("resourceNames", [])
    }
    bound = {
        (each["metadata"]["namespace"], each["roleRef"]["name"])
        for (kind, _), each in found.items()
        if kind == "RoleBinding"
    }
    assert {("kube-system", "acr-configuration"), ("kube-system", "aliyun-acr-credential-helper")} <= granted
    assert (namespace, "aliyun-acr-credential-provider-tokens") in granted
    assert bound == {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in roles}


def test_what_to_do_next_is_said():
    # `template` leaves the notes out; they are rendered by a dry run on the client alone.
    done = helm(
        "install", "acr", str(CHART), "--dry-run=client", f"--values={VALUES / 'both'}.yaml", "--namespace=kube-system"
    )
    assert "kubectl get nodes" in done.stdout, done.stderr
    assert "pull-secrets plan" in done.stdout


def test_every_set_of_values_is_another_way_to_install():
    assert len(SETS) >= 8
    assert len({yaml.dump(yaml.safe_load((VALUES / f"{each}.yaml").read_text())) for each in SETS}) == len(SETS)


def test_no_template_names_a_registry_of_anybodys():
    texts = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*.yaml"))
    assert not re.search(r"image: [a-z]", texts)


def test_the_chart_of_a_release_is_this_one(tmp_path):
    packed = tmp_path / "chart.tgz"
    packed.write_bytes(archives.chart(1_700_000_000))
    words = [f"--namespace={NAMESPACE}", f"--values={VALUES}/both.yaml"]
    done = helm("template", "acr", str(packed), *words)
    assert done.stdout == rendered(values="both"), done.stderr


def test_the_readmes_quickstart_is_one_that_works():
    readme = (CHART.parents[1] / "README.md").read_text().replace("\\\n", " ")
    (options,) = re.findall(r"^helm install acr packaging/chart (.*)", readme, re.MULTILINE)
    done = helm("template", "acr", str(CHART), *shlex.split(options))
    assert done.returncode == 0, done.stderr


def test_the_guides_example_is_one_that_works(tmp_path):
    guide = (CHART.parents[1] / "docs/install/README.md").read_text()
    (values,) = re.findall(r"```yaml\n(image:.*?)```", guide, re.DOTALL)
    (tmp_path / "values.yaml").write_text(values)
    done = helm("template", "acr", str(CHART), f"--values={tmp_path}/values.yaml")
    assert done.returncode == 0, done.stderr


MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def test_metrics_are_open_to_the_peers_that_are_named_and_the_webhook_to_every_address():
    objects_ = objects(rendered(f"--set-json=metricsFrom={json.dumps([MONITORING])}", values="both"))
    rules = [
        (port["port"], rule.get("from"))
        for (kind, _), document in objects_.items()
        if kind == "NetworkPolicy"
        for rule in document["spec"]["ingress"]
        for port in rule["ports"]
    ]
    assert sorted(rules, key=lambda rule: rule[0]) == [(8080, [MONITORING]), (8443, None), (9808, [MONITORING])]


def test_the_api_server_is_reached_at_its_own_port():
    objects_ = objects(rendered("--set=apiServerPorts={16443}", values="both"))
    for name, wanted in ((NAME, {53, 5353, 16443}), (f"{NAME}-pull-secrets", {53, 5353, 80, 443, 16443})):
        policy = objects_["NetworkPolicy", name]
        assert {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]} == wanted


def test_a_policy_selects_the_pods_that_it_is_for():
    """A Pod with the host's network would have no policy."""
    objects_ = objects(rendered(values="both"))
    for kind, name in (("DaemonSet", NAME), ("Deployment", f"{NAME}-pull-secrets")):
        template = objects_[kind, name]["spec"]["template"]
        selected = objects_["NetworkPolicy", name]["spec"]["podSelector"]["matchLabels"]
        assert selected.items() <= template["metadata"]["labels"].items()
        assert "hostNetwork" not in template["spec"]


@pytest.mark.parametrize("peer", ['{"cidr": "192.0.2.0/24"}', '"monitoring"', "{}"])
def test_a_peer_that_is_none_is_refused(peer):
    done = helm("template", "acr", str(CHART), f"--values={VALUES}/both.yaml", f"--set-json=metricsFrom=[{peer}]")
    assert done.returncode != 0
    assert "metricsFrom" in done.stderr


@pytest.mark.parametrize(
    "values", [each for each in SETS if "plugin: {enabled: false}" not in (VALUES / f"{each}.yaml").read_text()]
)
@pytest.mark.parametrize("platform", ["generic", "ack", "openshift", "k3s"])
def test_no_term_of_an_affinity_lets_the_agent_onto_a_virtual_node(values, platform):
    pod = objects(rendered(f"--set=platform={platform}", values=values))["DaemonSet", NAME]["spec"]["template"]["spec"]
    node = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    for term in node["nodeSelectorTerms"]:
        assert {"key": "type", "operator": "NotIn", "values": ["virtual-kubelet"]} in term["matchExpressions"]


def test_an_operators_affinity_is_kept_beside_that_rule():
    pod = objects(rendered(values="everything"))["DaemonSet", NAME]["spec"]["template"]["spec"]
    first, second = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert {"key": "pool", "operator": "Exists"} in first["matchExpressions"]
    assert second["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]


@pytest.mark.parametrize(("release", "namespace"), [("1e3", "on"), ("0x10", "null"), ("123", "1e3"), ("on", "0x10")])
def test_names_that_yaml_takes_for_other_types_stay_texts(release, namespace):
    done = helm("template", release, str(CHART), f"--namespace={namespace}", f"--values={VALUES}/everything.yaml")
    assert done.returncode == 0, done.stderr
    for each in objects(done.stdout).values():
        metadata = each["metadata"]
        assert metadata["labels"]["app.kubernetes.io/instance"] == release
        assert {metadata.get("namespace", namespace)} <= {namespace, "kube-system", "default"}
        for subject in each.get("subjects", []):
            assert isinstance(subject.get("namespace", ""), str)


@pytest.mark.parametrize("values", SETS)
def test_every_object_and_pod_has_the_labels_that_kubernetes_recommends(values):
    wanted = {
        f"app.kubernetes.io/{each}" for each in ("name", "instance", "version", "component", "part-of", "managed-by")
    }
    found = objects(rendered(values=values))
    labelled = [each["metadata"] for each in found.values()] + [each["metadata"] for each in pods_of(found.values())]
    assert [each["labels"] for each in labelled if wanted - each["labels"].keys()] == []


def test_an_existing_service_account_is_used_and_not_made():
    found = objects(rendered(values="beside-acr-configuration"))
    assert ("ServiceAccount", "aliyun-acr-credential-helper") not in found
    pod = found["Deployment", f"{NAME}-pull-secrets"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "aliyun-acr-credential-helper"


def test_the_controller_reads_an_existing_configuration_while_the_plugin_has_settings():
    found = objects(rendered(values="beside-acr-configuration"))
    assert {name for kind, name in found if kind == "ConfigMap"} == {f"{NAME}-settings"}
    (container,) = found["Deployment", f"{NAME}-pull-secrets"]["spec"]["template"]["spec"]["containers"]
    assert parsed(container["args"]).config_map == ("team-registry", "acr-configuration")
    role = found["Role", f"{NAME}-pull-secrets-configuration"]
    assert (role["metadata"]["namespace"], role["rules"][0]["resourceNames"]) == (
        "team-registry",
        ["acr-configuration"],
    )


@pytest.mark.parametrize("version", ["1.28", "1.29"])
def test_without_privileges_an_older_kubernetes_is_told_about_apparmor_by_an_annotation(version):
    for asked, is_field in ((version, False), ("1.30", True)):
        template = objects(rendered(values="k3s", version=asked))["DaemonSet", NAME]["spec"]["template"]
        annotations = template["metadata"]["annotations"]
        assert ("appArmorProfile" in template["spec"]["containers"][0]["securityContext"]) == is_field
        assert ("container.apparmor.security.beta.kubernetes.io/agent" in annotations) == (not is_field)


@pytest.mark.parametrize("words", [[], ["--set=acr.enabled=true"], ["--set=acr.enabled=false"]])
def test_a_chart_around_this_one_may_switch_it(words, tmp_path):
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts/acr").symlink_to(CHART)
    dependency = {"name": NAME, "alias": "acr", "version": "*", "condition": "acr.enabled"}
    chart = {"apiVersion": "v2", "name": "around", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(chart))
    mine = yaml.safe_load((VALUES / "both.yaml").read_text())
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"acr": mine, "global": {"imageRegistry": "x"}}))
    done = helm("template", "shop", str(tmp_path), *words)
    assert done.returncode == 0, done.stderr
    assert bool(objects(done.stdout)) == (words != ["--set=acr.enabled=false"])


def notes(folder, values, version):
    """Return Helm's notes for a Kubernetes of this *version*: `helm template` has none, so an object takes them in."""
    chart = folder / "chart"
    shutil.copytree(CHART, chart)
    (chart / "templates/told.yaml").write_text('told: {{ include (print .Template.BasePath "/NOTES.txt") . | quote }}')
    words = [f"--kube-version={version}", f"--values={VALUES}/{values}.yaml", "--show-only=templates/told.yaml"]
    done = helm("template", "acr", str(chart), *words)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["told"]


@pytest.mark.parametrize(("version", "is_said"), [("1.33.9", True), ("1.34.0-aliyun.1", False)])
def test_a_kubelet_that_has_no_token_for_the_plugin_is_told_of(version, is_said, tmp_path):
    assert ("before Kubernetes 1.34" in notes(tmp_path, "ack", version)) == is_said


@pytest.mark.parametrize(("version", "is_said"), [("1.29.0", True), ("1.30.0", False)])
def test_an_api_server_without_policies_is_told_of(version, is_said, tmp_path):
    text = notes(tmp_path, "both", version)
    assert [f"no policy limits the {each}" in text for each in ("reporter", "controller")] == [is_said, is_said]


def test_alerts_and_dashboards_are_there_only_where_they_are_switched_on_and_for_what_is_installed():
    def monitoring(*words, values):
        found = objects(rendered(*words, values=values))
        return {name for kind, name in found if kind == "PrometheusRule" or "-dashboard-" in name}

    node = {NAME, *(f"{NAME}-dashboard-{each}" for each in ("fleet", "node"))}
    controller = {f"{NAME}-pull-secrets", f"{NAME}-dashboard-controller"}
    on = "--set=prometheusRule.enabled=true,dashboards.enabled=true"
    assert monitoring(values="both") == set()
    assert monitoring(on, values="both") == node | controller
    assert monitoring(on, values="plugin") == node
    assert monitoring(on, "--set=plugin.enabled=false,pullSecrets.enabled=true", values="plugin") == controller


def test_alerts_and_dashboards_arrive_as_they_are_but_for_where_the_runbooks_are():
    found = objects(rendered(values="everything"))
    for name, file in ((NAME, "node-alerts"), (f"{NAME}-pull-secrets", "pull-secrets-alerts")):
        text = (CHART / f"files/{file}.yaml").read_text()
        expected = text.replace("runbook_url: docs/", "runbook_url: https://docs.example.com/acr/docs/")
        assert found["PrometheusRule", name]["spec"] == yaml.safe_load(expected)
        assert found["PrometheusRule", name]["metadata"]["labels"]["release"] == "prometheus"
    for file in (CHART / "files/dashboards").glob("*.json"):
        config_map = found["ConfigMap", f"{NAME}-dashboard-{file.stem}"]
        assert json.loads(config_map["data"][f"acr-{file.name}"]) == json.loads(file.read_text())
        assert config_map["metadata"]["labels"]["grafana_dashboard"] == "yes"


@pytest.mark.parametrize("url", ["docs.example.com", "https://docs.example.com", 'https://x/" #/', "https://x/ y/"])
def test_an_address_of_runbooks_that_is_none_is_refused(url):
    words = [f"--values={VALUES}/both.yaml", f"--set-json=prometheusRule.runbooks={json.dumps(url)}"]
    done = helm("template", "acr", str(CHART), *words)
    assert done.returncode != 0
    assert "runbooks" in done.stderr
