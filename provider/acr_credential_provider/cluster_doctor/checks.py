"""The checks of `doctor --cluster`: reasons why a cluster's Pods lack the pull secret that they should have.

Only pulls that fail now are explained; a risk is a warning. Nothing here holds a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from acr_credential_provider.console.checks import CheckResult, CheckSkippedError, failed, run_checks, warning
from acr_credential_provider.explain.no_match import no_match
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.image_reference import scope_of
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.pull_secrets.model.eci_annotations import INSTANCES
from acr_credential_provider.pull_secrets.model.names import HELPER
from acr_credential_provider.settings.identity_kinds import OIDC

from .failing_pulls import (
    ABSENT,
    NO_ENTRY,
    NO_SECRET,
    NOT_SELECTED,
    ON_PLUGIN_NODE,
    OTHER_SECRETS,
    REFUSED,
    UNCLEAR,
    UNREACHABLE,
    pod_names,
    pulls_by,
)
from .snapshot import TOKEN_AUDIENCE, has_sts_token, is_controller, is_ours, listed, name_of, namespace_of, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from acr_credential_provider.console.checks import Check, Outcome

    from .snapshot import Cluster

USUAL_SESSION = 3600.0
"""Seconds: the maximum session duration of a RAM role until somebody raises it."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_TOO_LONG = "maximum session duration"
"""A part of our own remedy for that refusal of STS, as it stands in Events."""
_RIGHTS = (
    "Look whether the role or user has cr:GetAuthorizationToken and cr:PullRepository (docs/identities.md), and "
    "whether the image is of this account; another account's needs that account's role: assumeRoleARN."
)
_IMAGE = "Look whether the image and tag exist, in this account, instance and region."


def run_cluster_checks(cluster: Cluster) -> list[CheckResult]:
    """Return the results of all checks, in the order in which a pull meets them."""
    return run_checks(_CHECKS, cluster, keep_going=True)


# The configuration itself.


def check_configuration_exists(cluster: Cluster) -> str:
    """Check that there is a configuration."""
    if cluster.found_configuration is None:
        raise ConfigurationError(
            "there is no configuration: the ConfigMap does not exist (usual: kube-system/acr-configuration)",
            remedy=Remedy(
                "ConfigMapMissing",
                "Create one with acr-registry-info, or name it: --config-map NAMESPACE/NAME, --settings FILE.",
            ),
        )
    settings = cluster.found_configuration.settings
    return f"{len(settings.registries)} registries" if settings else ""


def check_configuration_form(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that the configuration is valid, and was read as it is written."""
    for problem in cluster.configuration.problems:
        yield failed(
            f"{problem.field} {problem.problem}".strip(), remedy=problem.remedy, location=f"line {problem.line}"
        )
    for change in cluster.configuration.changes:
        yield warning(
            change.what,
            remedy=Remedy(
                "SettingsSyntax",
                "Write it as documented: copy the sample with its indentation (settings validate FILE).",
            ),
            location=f"line {change.line}",
        )


def check_no_access_key(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that the ConfigMap shows no access key to its readers."""
    configuration = cluster.configuration
    texts = {
        "the ConfigMap": " ".join(configuration.data.values()),
        f"the ConfigMap's annotation {_LAST_APPLIED}": configuration.annotations.get(_LAST_APPLIED, ""),
    }
    for holder, text in texts.items():
        if "customaccesskeysecret" in text.lower():
            yield warning(
                f"{holder} holds an access key in clear text, for everyone who may read ConfigMaps",
                remedy=Remedy(
                    "AccessKeyInText",
                    "Move it into a Secret (identity accessKey with files, settings convert --keys-directory), or "
                    "use RRSA instead, and renew the key: its readers have it.",
                ),
            )


def check_system_namespaces(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that the configuration selects no system namespaces."""
    _ = cluster.configuration
    if cluster.system_namespaces:
        yield warning(
            "ServiceAccounts of the system get the pull secret too",
            remedy=Remedy(
                "SystemAccountsIncluded",
                "Name the business namespaces in watch-namespace: with a login that is not good for them, public "
                "images of the system cannot be pulled.",
            ),
            location=", ".join(cluster.system_namespaces),
        )


def check_session_duration(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that roles allow the session duration that is asked for."""
    registries = cluster.settings.registries
    if any(_TOO_LONG in str(event.get("message", "")) for event in cluster.events or ()):
        yield failed(
            "STS refuses a session that is longer than its role allows",
            remedy=Remedy(
                "SessionTooLong",
                "Raise the role's maximum session duration in RAM (up to 43200 s), or lower expireDuration.",
            ),
        )
    for registry in registries:
        asking = registry.assume_role[-1] if registry.assume_role else registry.identity
        seconds = asking.session_duration or 0.0
        if seconds > USUAL_SESSION:
            yield warning(
                f"{display_name(registry)} asks for sessions of {seconds:.0f} s of {asking.role_arn or 'its role'}",
                remedy=Remedy(
                    "SessionTooLong",
                    f"Let the role's maximum session duration in RAM be {seconds:.0f} s or more (usual: 3600 s), or "
                    "STS refuses all of its sessions.",
                ),
            )


# The controllers.


def check_single_controller(cluster: Cluster) -> Outcome:
    """Check that one controller keeps the pull secrets."""
    deployments = listed(cluster.deployments, "deployments")
    ours = [deployment for deployment in deployments if is_ours(deployment)]
    helpers = [
        deployment
        for deployment in deployments
        if name_of(deployment) == HELPER and not is_ours(deployment) and spec_of(deployment).get("replicas", 1)
    ]
    if helpers and ours:
        raise ConfigurationError(
            f"{namespace_of(helpers[0])}/{HELPER} runs beside {namespace_of(ours[0])}/{name_of(ours[0])}: both write "
            "the same ServiceAccounts",
            remedy=Remedy(
                "OtherControllerActive",
                "Uninstall the add-on aliyun-acr-credential-helper, or start ours with --take-over first "
                "(docs/migration.md).",
            ),
        )
    if helpers:
        return f"{HELPER} keeps the pull secrets; ours does not run here"
    if ours:
        return f"{namespace_of(ours[0])}/{name_of(ours[0])}"
    remedy = "Deploy it where nodes have no plugin: docs/migration.md."
    return [warning("no pull-secrets controller runs in this cluster", remedy=Remedy("ControllerMissing", remedy))]


def check_rrsa_token(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that the controller's Pods have the token that RRSA needs."""
    if not any(registry.identity.traits.session_from == OIDC for registry in cluster.settings.registries):
        raise CheckSkippedError("no entry uses RRSA")
    controllers = [pod for pod in listed(cluster.pods, "pods") if is_controller(pod)]
    if not controllers:
        raise CheckSkippedError("no Pod of a controller was found")
    for pod in controllers:
        if not has_sts_token(pod):
            yield failed(
                f"it has no token for {TOKEN_AUDIENCE}: it was made before RRSA was enabled, or without it",
                remedy=Remedy(
                    "RrsaTokenMissing",
                    "Enable RRSA for the cluster (console: Cluster Information, Security and Auditing, which also "
                    "shows the OIDC provider's URL and ARN), then delete the Pod: its Deployment makes it anew.",
                ),
                location=f"{namespace_of(pod)}/{name_of(pod)}",
            )


# The pulls that fail, one cause each.


def check_registry_reachable(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that nodes reach the registries."""
    for host, pulls in pulls_by(cluster, UNREACHABLE, lambda pull: pull.host).items():
        yield failed(
            f"{host} cannot be reached from the node",
            remedy=Remedy(
                "NetworkUnreachable",
                "Check name resolution, routes and certificates there, and the instance's access control: the "
                "public host needs Internet access, the -vpc host a VPC that is added to the instance.",
            ),
            location=pod_names(pulls),
        )


def check_registry_entry(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that a registry entry serves each image of ACR."""
    for pulls in pulls_by(cluster, NO_ENTRY, lambda pull: pull.host).values():
        error = no_match(scope_of(pulls[0].image), cluster.registries)
        yield failed(error.problem, remedy=error.remedy, location=pod_names(pulls))


def check_node_plugin(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that the plugin works on nodes, and pulls."""
    for node, condition in cluster.plugin_conditions.items():
        if condition.get("status") == "False":
            message = condition.get("message", "")
            yield warning(
                f"the plugin does not work: {message}",
                remedy=Remedy(
                    "PluginNotWorking",
                    "See that node's Events and its agent's log; until then Pods there need pull secrets.",
                ),
                location=f"node {node}",
            )
    for node, pulls in pulls_by(cluster, ON_PLUGIN_NODE, lambda pull: pull.node).items():
        yield failed(
            f"not pulled on node {node}, whose kubelet asks the plugin",
            remedy=Remedy(
                "NodeDoctorNeeded", f"Run on that node: aliyun-acr-credential-provider doctor {pulls[0].shown_image}"
            ),
            location=pod_names(pulls),
        )


def check_account_selected(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that the Pods' ServiceAccounts are selected for the pull secret."""
    for (namespace, account), pulls in pulls_by(
        cluster, NOT_SELECTED, lambda pull: (pull.namespace, pull.account)
    ).items():
        instances = ",".join(dict.fromkeys(instance for pull in pulls for instance in pull.instances))
        yield failed(
            f"ServiceAccount {namespace}/{account} is not among those that get a pull secret"
            + (", and ECI's annotation on a Pod asks for nothing outside of ECI" if instances else ""),
            remedy=Remedy(
                "ServiceAccountNotCovered",
                f"Add {account} to service-account and {namespace} to watch-namespace in acr-configuration, then "
                "restart the workload"
                + (
                    f"; or let the namespace ask: kubectl annotate namespace {namespace} {INSTANCES}={instances}"
                    if instances
                    else "."
                ),
            ),
            location=pod_names(pulls),
        )


def check_no_other_secrets(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that no workload's own imagePullSecrets replace its ServiceAccount's."""
    listed(cluster.accounts, "serviceaccounts")
    for pulls in pulls_by(cluster, OTHER_SECRETS, lambda pull: pull.namespace).values():
        yield failed(
            f"the workload names imagePullSecrets of its own ({', '.join(pulls[0].secrets)}), so that its "
            "ServiceAccount's are not used",
            remedy=Remedy(
                "PodHasOwnPullSecrets",
                "Remove imagePullSecrets from the workload's template, or add ours to them, and recreate the Pods. "
                "On nodes with the kubelet plugin this does no harm.",
            ),
            location=pod_names(pulls),
        )


def check_secret_before_pod(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that ServiceAccounts had the pull secret before their Pods were created."""
    listed(cluster.accounts, "serviceaccounts")
    for (namespace, name), pulls in pulls_by(cluster, NO_SECRET, lambda pull: (pull.namespace, pull.account)).items():
        if any(map(cluster.is_pull_secret, cluster.account_secrets(namespace, name))):
            problem = "the Pod was created before its ServiceAccount had the pull secret, and is not given it later"
            remedy = Remedy(
                "PullSecretTooLate",
                "Delete the Pods (kubectl rollout restart). Against the next time: webhook-configuration enable.",
            )
        else:
            problem = f"ServiceAccount {namespace}/{name} has no pull secret of ours yet"
            remedy = Remedy(
                "PullSecretMissing",
                "See why in the controller's Events and log (kubectl acr plan); then restart the workload.",
            )
        yield failed(problem, remedy=remedy, location=pod_names(pulls))


def check_rights_and_images(cluster: Cluster) -> Iterator[CheckResult]:
    """Check that the registry accepts the pull secret for each image, and has the image."""
    for image, pulls in pulls_by(cluster, REFUSED, lambda pull: pull.shown_image).items():
        problem = f"the registry refuses {image} to the pull secret that the Pod has"
        yield failed(problem, remedy=Remedy("PullDenied", f"{_RIGHTS} {_IMAGE}"), location=pod_names(pulls))
    for image, pulls in pulls_by(cluster, ABSENT, lambda pull: pull.shown_image).items():
        yield failed(
            f"the registry does not know {image}", remedy=Remedy("ImageUnknown", _IMAGE), location=pod_names(pulls)
        )
    for image, pulls in pulls_by(cluster, UNCLEAR, lambda pull: pull.shown_image).items():
        problem = f"{image} is not pulled although the Pod has the pull secret"
        yield failed(problem, remedy=Remedy("ImageUnknown", f"{_IMAGE} {_RIGHTS}"), location=pod_names(pulls))


_CHECKS: tuple[Check[Cluster], ...] = (
    ("configuration", check_configuration_exists),
    ("configuration's form", check_configuration_form),
    ("access keys", check_no_access_key),
    ("system namespaces", check_system_namespaces),
    ("session duration", check_session_duration),
    ("controllers", check_single_controller),
    ("RRSA token", check_rrsa_token),
    ("registry reachable", check_registry_reachable),
    ("registry entry", check_registry_entry),
    ("node plugin", check_node_plugin),
    ("ServiceAccount selected", check_account_selected),
    ("workloads' own pull secrets", check_no_other_secrets),
    ("Pods before their pull secret", check_secret_before_pod),
    ("rights and images", check_rights_and_images),
)
