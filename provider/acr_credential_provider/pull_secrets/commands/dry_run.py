"""The controller's plan for a live cluster, without a write."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import Remedy, coded
from acr_credential_provider.pull_secrets.config.configuration import (
    ABSENT,
    ActiveConfig,
    next_config,
    parse,
    role_of,
    text_of,
)
from acr_credential_provider.pull_secrets.config.loss import InCluster
from acr_credential_provider.pull_secrets.kube.cluster_cache import ClusterCache, ClusterListener
from acr_credential_provider.pull_secrets.model.content import Content
from acr_credential_provider.pull_secrets.model.desired_state import DesiredState, desired
from acr_credential_provider.pull_secrets.model.names import HELPER_SECRETS, TOKENS_NAME
from acr_credential_provider.pull_secrets.model.plan import ChangeAccount, CreateSecret, DeleteSecret, is_foreign, plan
from acr_credential_provider.pull_secrets.model.resources import CONFIG_MAPS, NAMESPACES, SECRETS
from acr_credential_provider.pull_secrets.model.selection import system_namespaces
from acr_credential_provider.pull_secrets.reconcile.conflicting_writers import helper_runs
from acr_credential_provider.pull_secrets.tokens.state_secret import ReplicaState
from acr_credential_provider.pull_secrets.tokens.token_cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from acr_credential_provider.acr_configuration import Role
    from acr_credential_provider.pull_secrets.config.configuration import ParsedConfig
    from acr_credential_provider.pull_secrets.config.loss import Loss
    from acr_credential_provider.pull_secrets.config.options import Options
    from acr_credential_provider.pull_secrets.kube.client import KubeClient
    from acr_credential_provider.pull_secrets.model.plan import Action


@dataclass(frozen=True, slots=True)
class DryRun:
    """The actions that would be done, and remarks for the operator of one line each.

    *loss* is what the configuration takes away from the one in force; nothing of it if it *is_refused*.
    """

    actions: tuple[Action, ...]
    remarks: tuple[str, ...]
    parsed: ParsedConfig
    loss: Loss
    is_refused: bool


def dry_run(api: KubeClient, options: Options, *, read_settings: Callable[[], str]) -> DryRun:
    """Return what the controller would do now; nothing is written, and the cloud is not asked.

    *read_settings* reads the settings file that the options name, if any. Raises `ConfigurationError` if there is no
    usable configuration, and `ClusterError`.
    """
    secret = api.get(SECRETS.path(options.namespace, TOKENS_NAME))
    shared = ReplicaState.decode(secret.get("data") if secret else None)
    cluster = ClusterCache(api, ClusterListener(), own_namespace=options.namespace, config_map=None)
    cluster.load(())
    everybody = InCluster(cluster.namespaces.all(), cluster.accounts.all())
    active = _active_in_controller(api, options, read_settings, held=shared.configuration, cluster=everybody)
    parsed = active.parsed
    if parsed.settings is None:
        first = parsed.problems[0]
        raise ConfigurationError(f"the configuration can't be used: {first}", remedy=first.remedy)
    remarks = [f"{coded(str(problem), problem.remedy)}. {problem.remedy}" for problem in parsed.problems] + list(
        parsed.notes
    )
    tokens = TokenCache(clock=time.time)
    tokens.merge(shared.tokens)
    entries = tokens.entries(parsed.settings, read=_unread, on_failure=lambda _, __: None)
    if not any(entry.logins for entry in entries):
        entries = [replace(entry, logins=(("registry.invalid", "", ""),)) for entry in entries]
        remarks.append("no token is kept yet: Secrets are shown as they were if all entries had one")
    names = {parsed.spec.secret_name, *shared.names}
    runs = helper_runs(api)
    replaced = frozenset(HELPER_SECRETS) if options.take_over and not runs else frozenset[str]()
    if runs:
        remarks.append(
            "aliyun-acr-credential-helper is at work here: nothing is written until it is gone"
            + (", but for entries of ours beside its own (--take-over)" if options.take_over else "")
        )
    if system := system_namespaces(parsed.spec):
        remarks.append(f"{', '.join(system)} are meant too: a login can spoil the pull of a system's public images")
    state = DesiredState(
        spec=parsed.spec,
        content=Content.of_entries(entries),
        entries=tuple(entries),
        retired=frozenset(names) - {parsed.spec.secret_name},
        replaced=replaced,
        is_blocked=False,
    )
    cluster.load_secrets(names | replaced)
    actions = []
    for namespace in sorted(cluster.namespaces.all(), key=lambda namespace: namespace.name):
        observed = cluster.observed(namespace.name)
        if is_foreign(observed.secrets.get(parsed.spec.secret_name)):
            remarks.append(f"Secret {namespace.name}/{parsed.spec.secret_name} is not ours, and would be left alone")
        if not namespace.terminating:
            actions += plan(observed, desired(state, state.content_for(namespace), observed))
    return DryRun(tuple(actions), tuple(remarks), parsed, active.loss, is_refused=active.outcome == "last_good")


def _unread(_username_file: str, _password_file: str) -> Any:
    """Raise, in place of files that only the controller's Pod has."""
    raise ConfigurationError(
        "the files of a login are in the controller's Pod", remedy=Remedy("NotInCluster", "See them in that Pod.")
    )


def _active_in_controller(
    api: KubeClient, options: Options, read_settings: Callable[[], str], *, held: str, cluster: InCluster
) -> ActiveConfig:
    """Return the configuration that would be active in a controller in which *held* is active now."""
    hidden: tuple[str, ...] = ()
    if options.settings_file:
        text = read_settings()
    else:
        namespace, name = options.config_map
        config_map = api.get(CONFIG_MAPS.path(namespace, name))
        if config_map is None:
            raise ConfigurationError(
                f"there is no ConfigMap {namespace}/{name}: the controller would do nothing",
                remedy=Remedy("ConfigMapMissing", "Create it, or name another one with --config-map NAMESPACE/NAME."),
            )
        text = text_of(config_map.get("data"))
        hidden = tuple(config_map.get("binaryData") or ())
    role = _role(api, options)
    directory, origin = options.keys_directory, options.origin
    before = ABSENT
    if held:
        before = ActiveConfig(parse(held, role=role, keys_directory=directory, origin=origin), held)
    now = next_config(before, text, role=role, keys_directory=directory, origin=origin, hidden=hidden, cluster=cluster)
    parsed = parse(text, role=role, keys_directory=directory, origin=origin)
    if now.outcome != "last_good" or parsed.settings is None:
        return replace(now, parsed=parsed)
    kept = () if now.settings is None else ("what held before the last edit of the configuration stays in force",)
    return replace(now, parsed=replace(now.parsed, problems=now.problems, notes=(*parsed.notes, *kept)))


def _role(api: KubeClient, options: Options) -> Role:
    namespace = api.get(NAMESPACES.path(name="kube-system")) or {}
    return role_of(options.token_mode, str(namespace.get("metadata", {}).get("creationTimestamp", "")))


def to_dict(action: Action) -> dict[str, Any]:
    """Return *action* as JSON, without the content of the Secret."""
    if isinstance(action, ChangeAccount):
        return {
            "kind": "ServiceAccount",
            "namespace": action.namespace,
            "name": action.name,
            "action": "change",
            "add": action.add or None,
            "remove": [name for _, name in action.remove],
        }
    verb = {CreateSecret: "create", DeleteSecret: "delete"}.get(type(action), "update")
    return {"kind": "Secret", "namespace": action.namespace, "name": action.name, "action": verb}


def line(action: Action) -> str:
    """Return *action* as one line."""
    words = to_dict(action)
    target = f"{words['kind']} {words['namespace']}/{words['name']}"
    if isinstance(action, ChangeAccount):
        changes = [f"+{action.add}"] if action.add else []
        return f"change {target}: {' '.join(changes + [f'-{name}' for _, name in action.remove])}"
    return f"{words['action']} {target}"
