"""What keeps a cluster's Pods from the pull secret they should have: values in, findings out.

The usual causes, in the order in which a pull meets them. Only pulls that fail are
explained; what is merely likely to fail later is a warning. Nothing here holds a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import FAILED, OK, SKIPPED, CheckResult
from acr_credential_provider.model.acr_hosts import EnterpriseHost, recognise
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.pull_secrets.model.eci_annotations import INSTANCES
from acr_credential_provider.pull_secrets.model.names import HELPER
from acr_credential_provider.settings.identity_kinds import OIDC

from .failing_pulls import (
    ABSENT,
    REFUSED,
    UNREACHABLE,
    account_of,
    entries_for,
    failing_pulls,
    grouped,
    is_covered,
    pulls_by_plugin,
    pulls_without_ours,
    selected_pulls,
    some,
    unselected_pulls,
)
from .snapshot import (
    TOKEN_AUDIENCE,
    SkippedError,
    configuration_of,
    has_projected_token,
    is_controller,
    is_ours,
    is_pull_secret,
    name_of,
    namespace_of,
    own_region,
    plugin_nodes,
    pull_secrets_of_accounts,
    session_of,
    settings_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .snapshot import Cluster

WARNING = "warning"
USUAL_SESSION = 3600.0
"""Seconds: the maximum session duration that a RAM role has unless somebody raised it."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_TOO_LONG = "maximum session duration"
"""Words that our own remedy for that refusal of STS has."""


def run_cluster_checks(cluster: Cluster) -> list[CheckResult]:
    """Return a finding or more for each check, in the order in which a pull meets them."""
    findings: list[CheckResult] = []
    for name, check in _CHECKS:
        try:
            found = list(check(name, cluster))
        except SkippedError as reason:
            found = [CheckResult(name, SKIPPED, detail=str(reason))]
        findings += found or [CheckResult(name, OK)]
    return findings


# The configuration itself.


def check_config_exists(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell when there is no configuration."""
    if cluster.configuration is None:
        yield CheckResult(
            name,
            FAILED,
            problem="there is no configuration: nobody made the ConfigMap (usual: kube-system/acr-configuration)",
            remedy="Make one with acr-registry-info, or say where it is: --config-map NAMESPACE/NAME, --settings FILE.",
        )
    elif cluster.settings is not None:
        yield CheckResult(name, OK, detail=f"{len(cluster.settings.registries)} registries")


def check_config_valid(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell what is wrong with the configuration."""
    configuration = configuration_of(cluster)
    for each in configuration.problems:
        yield CheckResult(name, FAILED, problem=str(each), remedy=each.remedy)
    for change in configuration.changes:
        yield CheckResult(
            name,
            WARNING,
            problem=change.what,
            remedy="Write it as documented: copy the sample with its indentation (settings validate FILE).",
        )


def check_no_key_in_config(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell of access keys that anybody who reads the configuration can read."""
    configuration = configuration_of(cluster)
    places = {
        "the ConfigMap": " ".join(configuration.data.values()),
        f"the ConfigMap's annotation {_LAST_APPLIED}": configuration.annotations.get(_LAST_APPLIED, ""),
    }
    for place, text in places.items():
        if "customaccesskeysecret" in text.lower():
            yield CheckResult(
                name,
                WARNING,
                problem=f"{place} holds an access key in clear text, for everyone who may read ConfigMaps",
                remedy="Move it into a Secret (identity accessKey with files, settings convert --keys-directory), use "
                "RRSA instead, and renew the key: whoever read it has it.",
            )


def check_system_namespaces_excluded(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell when the configuration selects system namespaces."""
    configuration_of(cluster)
    if cluster.system_namespaces:
        yield CheckResult(
            name,
            WARNING,
            problem=f"{', '.join(cluster.system_namespaces)}: ServiceAccounts of the system get the pull secret too",
            remedy="Name the business namespaces in watch-namespace: with a login that is not good for them, public "
            "images of the system cannot be pulled.",
        )


def check_session_valid(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell of roles whose session cannot be as long as it is asked for."""
    settings = settings_of(cluster)
    for event in cluster.events or ():
        if _TOO_LONG in str(event.get("message", "")):
            yield CheckResult(
                name,
                FAILED,
                problem="STS refuses a session that is longer than its role allows",
                remedy="Raise the role's maximum session duration in RAM (up to 43200 s), or lower expireDuration.",
            )
            break
    for registry in settings.registries:
        arn, seconds = session_of(registry)
        if seconds > USUAL_SESSION:
            yield CheckResult(
                name,
                WARNING,
                problem=f"{display_name(registry)} asks for sessions of {seconds:.0f} s of {arn or 'its role'}",
                remedy=f"Let the role's maximum session duration in RAM be {seconds:.0f} s or more (usual: 3600 s), or "
                "STS refuses all of its sessions.",
            )


# Who works.


def check_single_controller(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell when another controller keeps pull secrets too."""
    if cluster.deployments is None:
        raise SkippedError("this user may not list deployments")
    helpers = [each for each in cluster.deployments if name_of(each) == HELPER and not is_ours(each)]
    ours = [each for each in cluster.deployments if is_ours(each)]
    running = [each for each in helpers if (each.get("spec") or {}).get("replicas", 1)]
    if running and ours:
        yield CheckResult(
            name,
            FAILED,
            problem=f"{namespace_of(running[0])}/{HELPER} runs beside {namespace_of(ours[0])}/{name_of(ours[0])}: both "
            "write the same ServiceAccounts",
            remedy="Uninstall the add-on aliyun-acr-credential-helper, or start ours with --take-over first "
            "(docs/migration.md).",
        )
    elif running:
        yield CheckResult(name, OK, detail=f"{HELPER} keeps the pull secrets; ours does not run here")
    elif ours:
        yield CheckResult(name, OK, detail=f"{namespace_of(ours[0])}/{name_of(ours[0])}")
    else:
        yield CheckResult(
            name,
            WARNING,
            problem="no pull-secrets controller runs in this cluster",
            remedy="Deploy it where nodes have no plugin: docs/migration.md.",
        )


def check_rrsa_token_mounted(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell when the controller lacks the token that RRSA needs."""
    settings = settings_of(cluster)
    if not any(each.identity.traits.session_from == OIDC for each in settings.registries):
        raise SkippedError("no entry uses RRSA")
    if cluster.pods is None:
        raise SkippedError("this user may not list pods")
    controllers = [each for each in cluster.pods if is_controller(each)]
    for pod in controllers:
        if not has_projected_token(pod):
            yield CheckResult(
                name,
                FAILED,
                problem=f"{namespace_of(pod)}/{name_of(pod)} has no token for {TOKEN_AUDIENCE}: made before "
                "RRSA was enabled, or without it",
                remedy="Enable RRSA for the cluster (console: Cluster Information, Security and Auditing, which also "
                "shows the OIDC provider's URL and ARN), then delete the Pod: its Deployment makes it anew.",
            )
    if not controllers:
        raise SkippedError("no Pod of a controller was found")


# The pulls that fail.


def check_registry_entry_exists(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell of images that no registry entry serves."""
    settings = settings_of(cluster)
    own = own_region(cluster)
    for host, pulls in grouped(failing_pulls(cluster), lambda pull: pull.image.partition("/")[0]).items():
        system = recognise(host)
        if entries_for(pulls[0], settings, own) or system is None:
            continue
        regions = sorted({each.region or own or "the cluster's own region" for each in settings.registries})
        where = f" in {system.region}, and the entries are for {', '.join(regions)}"
        is_elsewhere = isinstance(system, EnterpriseHost) and system.region not in regions
        yield CheckResult(
            name,
            FAILED,
            problem=f"{some(pulls)}: no entry is for {host}" + (where if is_elsewhere else ""),
            remedy=f"Add an entry with its instanceId and regionId: {system.region} (another region is asked over the "
            "public network).",
        )


def check_plugin_installed(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell of nodes without the plugin."""
    for node, message in plugin_nodes(cluster, "False").items():
        yield CheckResult(
            name,
            WARNING,
            problem=f"the plugin on node {node} does not work: {message}",
            remedy="See that node's Events and its agent's log; until then Pods there need pull secrets.",
        )
    for node, pulls in grouped(pulls_by_plugin(cluster), lambda pull: pull.node).items():
        yield CheckResult(
            name,
            FAILED,
            problem=f"{some(pulls)}: not pulled on node {node}, whose kubelet asks the plugin",
            remedy=f"Run on that node: aliyun-acr-credential-provider doctor {pulls[0].shown_image}",
        )


def check_pull_secret_referenced(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell of Pods whose ServiceAccount does not name the pull secret."""
    for (namespace, account), pulls in grouped(unselected_pulls(cluster), account_of).items():
        problem = f"{some(pulls)}: ServiceAccount {namespace}/{account} is not among those that get a pull secret"
        remedy = (
            f"Add {account} to service-account and {namespace} to watch-namespace in acr-configuration, then restart "
            "the workload."
        )
        asked = ",".join(dict.fromkeys(instance for pull in pulls for instance in pull.asks_for))
        if asked:
            problem += ", and ECI's annotation on a Pod asks for nothing outside of ECI"
            remedy = (
                f"Add {account} to service-account and {namespace} to watch-namespace in acr-configuration, then "
                "restart the workload; or let the namespace ask: "
                f"kubectl annotate namespace {namespace} {INSTANCES}={asked}"
            )
        yield CheckResult(name, FAILED, problem=problem, remedy=remedy)


def check_no_overriding_secret(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell of Pods whose own imagePullSecrets replace the ServiceAccount's."""
    for pulls in grouped(pulls_without_ours(cluster, is_own_list=True), lambda pull: pull.namespace).values():
        yield CheckResult(
            name,
            FAILED,
            problem=f"{some(pulls)}: the workload names imagePullSecrets of its own ({', '.join(pulls[0].secrets)}), "
            "so that its ServiceAccount's are not used",
            remedy="Remove imagePullSecrets from the workload's template, or add ours to them, and recreate the Pods. "
            "On nodes with the kubelet plugin this does no harm.",
        )


def check_created_before_controller(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell of Pods that were made before their ServiceAccount had the pull secret."""
    accounts = pull_secrets_of_accounts(cluster)
    for pulls in grouped(pulls_without_ours(cluster, is_own_list=False), lambda pull: pull.namespace).values():
        is_attached = any(is_pull_secret(each, cluster) for each in accounts.get(account_of(pulls[0]), ()))
        if is_attached:
            problem = "the Pod was created before its ServiceAccount had the pull secret, and is not given it later"
            remedy = "Delete the Pods (kubectl rollout restart). Against the next time: webhook-configuration enable."
        else:
            problem = f"ServiceAccount {pulls[0].namespace}/{pulls[0].account} has no pull secret of ours yet"
            remedy = "See why in the controller's Events and log (pull-secrets plan); then restart the workload."
        yield CheckResult(name, FAILED, problem=f"{some(pulls)}: {problem}", remedy=remedy)


def check_registry_reachable(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell of registries that do not answer."""
    cut_off = [each for each in failing_pulls(cluster) if each.cause == UNREACHABLE and is_covered(each, cluster)]
    for host, pulls in grouped(cut_off, lambda pull: pull.image.partition("/")[0]).items():
        yield CheckResult(
            name,
            FAILED,
            problem=f"{some(pulls)}: {host} cannot be reached from the node",
            remedy="Check name resolution, routes and certificates there, and the instance's access control: the "
            "public host needs Internet access, the -vpc host a VPC that the instance was told of.",
        )


_RIGHTS = (
    "Look whether the role or user has cr:GetAuthorizationToken and cr:PullRepository (docs/identities.md), and "
    "whether the image is of this account; another account's needs that account's role: assumeRoleARN."
)
_IMAGE = "Look whether the image and tag exist, in this account, instance and region."


def check_registry_access(name: str, cluster: Cluster) -> Iterator[CheckResult]:
    """Tell of registries that refuse the login."""
    with_ours = [each for each in selected_pulls(cluster) if any(is_pull_secret(one, cluster) for one in each.secrets)]
    for (image, cause), pulls in grouped(with_ours, lambda pull: (pull.shown_image, pull.cause)).items():
        what, remedy = {
            REFUSED: ("the registry refuses {image} to the pull secret that the Pod has", f"{_RIGHTS} {_IMAGE}"),
            ABSENT: ("the registry does not know {image}", _IMAGE),
        }.get(cause, ("{image} is not pulled although the Pod has the pull secret", f"{_IMAGE} {_RIGHTS}"))
        if cause != UNREACHABLE:
            yield CheckResult(name, FAILED, problem=f"{some(pulls)}: {what.format(image=image)}", remedy=remedy)


_CHECKS: tuple[tuple[str, Callable[[str, Cluster], Iterator[CheckResult]]], ...] = (
    ("configuration", check_config_exists),
    ("configuration's form", check_config_valid),
    ("access keys", check_no_key_in_config),
    ("system namespaces", check_system_namespaces_excluded),
    ("session duration", check_session_valid),
    ("controllers", check_single_controller),
    ("RRSA token", check_rrsa_token_mounted),
    ("network", check_registry_reachable),
    ("region", check_registry_entry_exists),
    ("nodes' plugin", check_plugin_installed),
    ("ServiceAccount list", check_pull_secret_referenced),
    ("workloads' own pull secrets", check_no_overriding_secret),
    ("Pods before their pull secret", check_created_before_controller),
    ("rights and images", check_registry_access),
)
