"""The command ``pull-secrets``: run the controller, show its plan, uninstall what it wrote."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import uuid

from acr_credential_provider.changes.folder import TemporaryFolder
from acr_credential_provider.console.arguments import duration, namespaced_name
from acr_credential_provider.console.command_line import (
    CommandParser,
    add_allowed_hosts,
    add_output,
    add_yes,
    folder_argument,
    path_argument,
)
from acr_credential_provider.console.confirmation import is_confirmed
from acr_credential_provider.console.output import say, warn_of_all, write_json
from acr_credential_provider.files.credentials_folder import FOLDER
from acr_credential_provider.model import exit_codes
from acr_credential_provider.pull_secrets.config.options import Options
from acr_credential_provider.pull_secrets.kube.client import KubeClient
from acr_credential_provider.pull_secrets.kube.informer import Times
from acr_credential_provider.pull_secrets.kube.leader_election import LeaseTimes
from acr_credential_provider.pull_secrets.reconcile.controller import Controller
from acr_credential_provider.pull_secrets.serving import json_logging
from acr_credential_provider.pull_secrets.serving.default_telemetry import DefaultTelemetry
from acr_credential_provider.pull_secrets.tokens.token_fetcher import TokenFetcher
from acr_credential_provider.pull_secrets.webhook.registration import SERVICE, ServiceReference
from acr_credential_provider.settings import loader as settings_file
from acr_credential_provider.settings.pull_secrets import PullSecrets
from acr_credential_provider.version import KUBECTL_PLUGIN

from .dry_run import dry_run, line, to_dict
from .servers import ADDRESS, HEALTH_PORT, WEBHOOK_PORT, ReplicaServers, Serving
from .uninstall import Undone, planned, uninstall

LOG = logging.getLogger(__name__)
COMMAND = f"{KUBECTL_PLUGIN} pull-secrets"
OWN_NAMESPACE = "kube-system"
KEYS = "/run/aliyun-acr-credential-provider/keys"
_EXAMPLES = f"""examples:
  {COMMAND} plan                                 # what it would do in the cluster of the current context
  {COMMAND} plan --settings settings.yaml --output json
  {COMMAND} plan --settings edited.yaml --from cluster   # what an edit of the ConfigMap would change and take away
  {COMMAND} run --namespace kube-system          # in its Deployment
  {COMMAND} uninstall --namespace kube-system    # after the Deployment was deleted
"""


def run(arguments: list[str]) -> int:
    """Carry out ``pull-secrets`` with *arguments*; return the exit code: 0 done, 1 failed, 2 not understood."""
    options = _parser().parse_args(arguments)
    code: int = options.run(options)
    return code


def whole_parser() -> CommandParser:
    """Return the parser of all commands below ``pull-secrets``."""
    return _parser()


def _parser() -> CommandParser:
    parser = CommandParser(
        prog=COMMAND,
        description="Keeps ServiceAccounts' pull secrets, where no kubelet can be configured.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    start = commands.add_parser("run", help="run the controller until SIGTERM")
    _add_common(start)
    start.add_argument(
        "--keys-directory",
        type=folder_argument,
        default=KEYS,
        metavar="DIR",
        help="where keys of the ConfigMap are written",
    )
    start.add_argument("--writes-per-second", type=_rate, default=100.0, metavar="N", help="default: 100")
    start.add_argument(
        "--resync",
        type=duration,
        default=600.0,
        metavar="TIME",
        help="how often all is looked at (default: 10m)",
    )
    start.add_argument(
        "--lease-duration", type=duration, default=15.0, metavar="TIME", help="until another replica takes over"
    )
    start.add_argument(
        "--owner",
        default="",
        metavar="CLUSTERROLE",
        help="of this release: what the controller writes is deleted with it (default: nothing is)",
    )
    start.add_argument("--webhook-service", default=SERVICE, metavar="NAME", help=f"default: {SERVICE}")
    start.add_argument("--address", default=ADDRESS, help="where to listen (default: %(default)s)")
    start.add_argument("--webhook-service-port", type=int, default=443, metavar="PORT", help="default: 443")
    start.add_argument("--webhook-port", type=int, default=WEBHOOK_PORT, metavar="PORT", help="default: %(default)s")
    start.add_argument("--health-port", type=int, default=HEALTH_PORT, metavar="PORT", help="default: %(default)s")
    start.add_argument("--log", choices=("debug", "info", "warning", "error"), default="info")
    start.set_defaults(run=_run)
    plan = commands.add_parser("plan", help="say what it would do and take away in the live cluster; writes nothing")
    _add_common(plan)
    limits = "cluster: judge --settings under the limits of a ConfigMap, for one that is about to be edited"
    plan.add_argument("--from", dest="origin", choices=("root", "cluster"), default="root", help=limits)
    plan.set_defaults(run=_plan)
    undo = commands.add_parser("uninstall", help="take away all Secrets, entries and the webhook configuration")
    _add_cluster(undo)
    undo.add_argument("--secret-name", action="append", default=[], metavar="NAME", help="names used beside the known")
    undo.add_argument("--force", action="store_true", help="even while a controller seems to be at work")
    add_yes(undo)
    undo.set_defaults(run=_uninstall)
    return parser


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument(
        "--kubeconfig", type=path_argument, metavar="FILE", help="default: the pod's own, or KUBECONFIG"
    )
    parser.add_argument("--context", default="", metavar="NAME", help="default: the current one")
    parser.add_argument(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE", OWN_NAMESPACE),
        help=f"the controller's own (default: POD_NAMESPACE, or {OWN_NAMESPACE})",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    _add_cluster(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--config-map",
        type=namespaced_name,
        default=("kube-system", "acr-configuration"),
        metavar="NAMESPACE/NAME",
        help="an acr-configuration, or native settings under settings.yaml (default: kube-system/acr-configuration)",
    )
    source.add_argument(
        "--settings", type=path_argument, metavar="FILE", help="a file instead, read anew when it changes"
    )
    parser.add_argument(
        "--token-mode",
        choices=("auto", "managedRole", "workerRole"),
        default="auto",
        help="who asks for entries of an acr-configuration that do not say (auto: by the cluster's age)",
    )
    add_allowed_hosts(parser)
    parser.add_argument("--credentials-dir", type=folder_argument, default=FOLDER, help=argparse.SUPPRESS)
    parser.add_argument("--take-over", action="store_true", help="replace the entries of aliyun-acr-credential-helper")


def _lease(duration: float) -> LeaseTimes:
    """Return it with the renew deadline and retry period that Kubernetes' own components have beside it."""
    return LeaseTimes(duration, duration * 2 / 3, duration * 2 / 15)


def _rate(text: str) -> float:
    rate = float(text)
    if not 0.1 <= rate <= 10000:
        raise argparse.ArgumentTypeError("write a number from 0.1 to 10000")
    return rate


def _options(options: argparse.Namespace) -> Options:
    return Options(
        namespace=options.namespace,
        config_map=options.config_map,
        settings_file=options.settings or "",
        token_mode=options.token_mode,
        take_over=options.take_over,
        keys_directory=getattr(options, "keys_directory", KEYS),
        credentials_dir=options.credentials_dir,
        allowed_hosts=frozenset(options.allow_host),
        writes_per_second=getattr(options, "writes_per_second", 100.0),
        resync=getattr(options, "resync", 600.0),
        watch=Times(resync=getattr(options, "resync", 600.0)),
        lease=_lease(getattr(options, "lease_duration", 15.0)),
        owner=getattr(options, "owner", ""),
        is_from_cluster=getattr(options, "origin", "root") == "cluster",
    )


def _run(options: argparse.Namespace) -> int:
    json_logging.start(options.log)
    telemetry = DefaultTelemetry()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    api = KubeClient.find(kubeconfig=options.kubeconfig or "", context=options.context, telemetry=telemetry)
    if not options.owner:
        LOG.info("without --owner, what is written stays in the cluster when this release is deleted")
    service = ServiceReference(options.namespace, options.webhook_service, options.webhook_service_port)
    serving = Serving(service, options.address, options.webhook_port, options.health_port)
    identity = f"{os.uname().nodename}_{uuid.uuid4()}"
    with TemporaryFolder() as folder:
        controller = Controller(api, _options(options), identity=identity, source=TokenFetcher(folder))
        servers = ReplicaServers(api, controller, telemetry, serving)
        servers.start()
        controller.start()
        stop.wait()
        controller.stop()  # the Lease first: another replica may go on while this one still answers the webhook
        servers.stop()
    sys.stderr.flush()
    os._exit(0)  # no wait for threads that wait for the cloud; their results are not needed any more


def _plan(options: argparse.Namespace) -> int:
    api = KubeClient.find(kubeconfig=options.kubeconfig or "", context=options.context)
    result = dry_run(api, _options(options), read_settings=lambda: settings_file.read(options.settings))
    if options.output == "json":
        actions = [to_dict(action) for action in result.actions]
        loss = {**result.loss.to_dict(), "isRefused": result.is_refused}
        write_json({"loss": loss, "actions": actions, "remarks": result.remarks})
    else:
        warn_of_all("note", result.remarks)
        verb = "would lose, but is refused:" if result.is_refused else "lose"
        for lost in result.loss.lines():
            say(f"{verb} {lost}")
        for action in result.actions:
            say(line(action))
        say(f"{len(result.actions)} writes" if result.actions else "nothing to do")
    return 1 if result.parsed.problems else 0


def _uninstall(options: argparse.Namespace) -> int:
    api = KubeClient.find(kubeconfig=options.kubeconfig or "", context=options.context)
    names = [*options.secret_name, PullSecrets().secret_name]
    own = Options(namespace=options.namespace)
    question = f"Take away all that the controller in namespace {options.namespace} wrote in this cluster?"
    if not options.dry_run and not is_confirmed(options, question):
        return exit_codes.FAILED
    undone = Undone()
    lines = (
        planned(api, own, names=names)
        if options.dry_run
        else uninstall(api, own, names=names, force=options.force, undone=undone)
    )
    removed = []
    for each in lines:
        removed.append(each)
        if options.output != "json":
            say(each)
    if options.output == "json":
        write_json({"removed": removed, "left": undone.left, "dryRun": options.dry_run})
    error = undone.error(own)
    if error is not None:
        raise error
    if not removed and options.output != "json":
        say("nothing of ours is there")
    return exit_codes.DONE
