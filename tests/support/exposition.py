"""What the product exposes to Prometheus, from its own code: the controller's metrics and those of nodes."""

from __future__ import annotations

import ast
from pathlib import Path

from acr_credential_provider import pull_secrets
from acr_credential_provider.model.connection_table import ClientFault
from acr_credential_provider.pull_secrets.kube.refusals import Cause
from acr_credential_provider.pull_secrets.model.telemetry import TokenState
from acr_credential_provider.pull_secrets.serving.metrics import Metrics
from acr_node_config.reporter.node_report import metrics
from acr_node_config.rollout import agent_status
from acr_node_config.rollout.agent_status import AgentStatus, TokenStatus
from prometheus_client import exposition
from prometheus_client.parser import text_string_to_metric_families

HOST = "shop-registry.cn-hangzhou.cr.aliyuncs.com"


def busy_controller(now: float) -> Metrics:
    """Return the metrics of a controller to which everything has happened once."""
    told = Metrics()
    told.configuration("loaded", problems=0)
    told.tokens([TokenState("cri-1 in cn-hangzhou", issued_at=now - 600, expires_at=now + 3000)])
    told.renewed("cri-1 in cn-hangzhou")
    told.renewal_failed("cri-1 in cn-hangzhou", "RoleRefusedError")
    for outcome in ("ok", *Cause):
        told.wrote("Secret", "create", outcome)
    told.called("GET", "secrets", "200", 0.003)
    told.watch_ended("serviceaccounts", "timeout")
    told.managed(secrets=2, service_accounts=20)
    told.queue(0)
    told.leading(True)
    told.event_sent("sent")
    for outcome in answers_of_the_webhook():
        told.admitted(outcome, 0.01)
    told.webhook(True)
    told.admission_policy(False)
    told.certificate(leaf=now + 90 * 86400, authority=now + 730 * 86400)
    return told


def answers_of_the_webhook() -> set[str]:
    """Return the outcomes that its code names beside an answer."""
    code = ast.parse((Path(pull_secrets.__file__).parent / "webhook/admission.py").read_text())
    returned = [each.value for each in ast.walk(code) if isinstance(each, ast.Return)]
    pairs = [each.elts for each in returned if isinstance(each, ast.Tuple) and len(each.elts) == 2]
    return {each.value for first, _ in pairs for each in ast.walk(first) if isinstance(each, ast.Constant)}


def busy_node(state: str = agent_status.READY) -> AgentStatus:
    """Return the status of a node on which the plugin is at work."""
    tokens = (TokenStatus(HOST, 600.0, 1500.0), TokenStatus(HOST, 900.0, 1200.0))
    return AgentStatus("1.0", state=state, is_serving=True, tokens=tokens, beat=100.0, first_call=1.7e9)


def page_of_node(status: AgentStatus, wall: float) -> str:
    return metrics(status, status.beat, wall, dict.fromkeys(ClientFault, 0))


def labels_by_series(now: float = 1.8e9) -> dict[str, dict[str, set[str]]]:
    """Return by the name of each series its labels, with the values that were seen."""
    found: dict[str, dict[str, set[str]]] = {}
    pages = [exposition.generate_latest(busy_controller(now).registry).decode(), page_of_node(busy_node(), now)]
    for family in (family for page in pages for family in text_string_to_metric_families(page)):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found
