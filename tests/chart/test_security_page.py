"""The threat model's tables of containers, mounts, rights and connections are those of the chart as Helm renders it."""

import pytest
from chart.helm import NAMESPACE, objects, rendered
from support import security_page
from support.workloads import containers_of, pods_of

NAME = "aliyun-acr-credential-provider"
"""In the table of rights, an ellipsis stands for it."""
SETTINGS = '{"registries": [{"instanceId": "cri-0123456789abcdef", "identity": {"kind": "nodeRole"}}]}'
WITH_CONTROLLER = ["--set=pullSecrets.enabled=true", f"--set-json=pullSecrets.settings={SETTINGS}"]
ONLY_WITH = {
    "": [],
    "the webhook": ["--set=pullSecrets.webhook.enabled=true"],
    "`pullSecrets.takeOver`": ["--set=pullSecrets.takeOver=true"],
    "`plugin.serviceAccountTokens`": ["--set=plugin.serviceAccountTokens=true"],
    "`platform: openshift`": ["--set=platform=openshift"],
    "no `pullSecrets.settings`": ["--set=pullSecrets.settings=null"],
    "`pullSecrets.configMap`": ["--set=pullSecrets.settings=null,pullSecrets.configMap=team-1/acr-configuration"],
    "another namespace than kube-system": ["--namespace=tools"],
}
"""What adds rights, in the table's words, and the options of Helm for that."""


def release(*options):
    return objects(rendered(*WITH_CONTROLLER, *options, values="plugin"))


def words(names):
    return ", ".join(f"`{name}`" for name in names)


def rights(*options):
    """Return the rows of the table for a release with these *options* of Helm."""
    documents = release(*options)
    own = "tools" if "--namespace=tools" in options else NAMESPACE
    rows = set()
    for (kind, name), document in documents.items():
        namespace = document["metadata"].get("namespace", "all").replace(own, "the release's")
        if kind in ("Role", "ClusterRole"):
            for rule in document["rules"]:
                resources = [
                    f"{group}/{resource}".lstrip("/") for group in rule["apiGroups"] for resource in rule["resources"]
                ]
                rows.add(
                    (name, namespace, words(resources), words(rule.get("resourceNames", [])), ", ".join(rule["verbs"]))
                )
        if kind in ("RoleBinding", "ClusterRoleBinding"):
            role = document["roleRef"]
            if (role["kind"], role["name"]) not in documents:
                rows.add((name, namespace, f"the ClusterRole `{role['name']}`", "", "all of it"))
    return {tuple(cell.replace(NAME, "…") for cell in (f"`{name}`", *rest)) for name, *rest in rows}


def capabilities(security):
    if security.get("privileged"):
        return "all (privileged)"
    assert security["capabilities"]["drop"] == ["ALL"]
    return ", ".join(security["capabilities"].get("add", ["none"]))


def container_rows(documents):
    for pod in pods_of(documents.values()):
        spec = pod["spec"]
        for container in containers_of(pod):
            security = spec.get("securityContext", {}) | container["securityContext"]
            has_token = spec["automountServiceAccountToken"] or any(
                mount["mountPath"].startswith("/var/run/secrets/kubernetes.io/") for mount in container["volumeMounts"]
            )
            ports = sorted(port["containerPort"] for port in container.get("ports", []))
            yield (
                container["name"],
                str(security["runAsUser"]),
                capabilities(security),
                security.get("seccompProfile", {}).get("type", "none"),
                "read-only" if security["readOnlyRootFilesystem"] else "writable",
                ", ".join(sorted({"hostNetwork", "hostPID", "hostIPC"} & set(spec))) or "none",
                "yes" if has_token else "no",
                ", ".join(map(str, ports)) or "none",
            )


def source(volume):
    """Return a *volume* in the table's words."""
    volume = {key: value for key, value in volume.items() if key != "name"}
    ((kind, options),) = volume.items()
    if kind == "hostPath":
        return f"hostPath `{options['path']}`"
    if kind == "emptyDir":
        return "emptyDir in memory" if options.get("medium") == "Memory" else "emptyDir"
    if kind == "configMap":
        return f"ConfigMap `{options['name']}`"
    if kind == "secret":
        return f"Secret `{options['secretName']}`, mode {mode(options)}"
    parts = [projected(part) for part in options["sources"]]
    return ", ".join([*parts, *([f"mode {mode(options)}"] if "defaultMode" in options else [])])


def projected(part):
    ((kind, options),) = part.items()
    if kind == "configMap":
        return f"ConfigMap `{options['name']}`"
    audience = f" for `{options['audience']}`" if "audience" in options else ""
    return f"token of {options['expirationSeconds']} s{audience}"


def mode(options):
    return f"{options['defaultMode']:04o}"


def mount_rows(documents):
    for pod in pods_of(documents.values()):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for container in containers_of(pod):
            for mount in container["volumeMounts"]:
                access = "read" if mount.get("readOnly") else "write"
                yield container["name"], f"`{mount['mountPath']}`", source(volumes[mount["name"]]), access


def network_rows(documents):
    for (kind, name), document in documents.items():
        if kind == "NetworkPolicy":
            for direction, field, peers in (("in", "ingress", "from"), ("out", "egress", "to")):
                for rule in document["spec"].get(field, []):
                    ports = ", ".join(f"{port['protocol']} {port['port']}" for port in rule["ports"])
                    allowed = [peer["ipBlock"]["cidr"] for peer in rule.get(peers, [])]
                    yield f"`{name.replace(NAME, '…')}`", direction, ports, ", ".join(allowed) or "anywhere"


def test_what_each_container_may_do_is_what_the_page_says():
    without = {row[0]: row for row in container_rows(release("--set=plugin.privileged=false"))}["agent"]
    expected = [*container_rows(release()), ("agent, `plugin.privileged: false`", *without[1:])]
    assert sorted(security_page.table("containers")) == sorted(expected)


def test_what_each_container_mounts_is_what_the_page_says():
    assert sorted(security_page.table("mounts")) == sorted(mount_rows(release()))


def test_who_may_connect_is_what_the_page_says():
    assert sorted(security_page.table("network")) == sorted(network_rows(release()))


@pytest.mark.parametrize("condition", ONLY_WITH)
def test_each_right_is_on_the_page_with_what_it_depends_on(condition):
    page = {row[:-1] for row in security_page.table("rbac") if row[-1] == condition}
    usual = rights() if condition else set()
    assert page == rights(*ONLY_WITH[condition]) - usual


def test_every_condition_of_a_right_is_one_that_is_tried():
    assert {row[-1] for row in security_page.table("rbac")} <= set(ONLY_WITH)
