"""What nodes and controllers go through, minute by minute, and which alert that is for.

The series are those that the product exposes for it: a scenario says what happens, not what a metric is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from acr_credential_provider.pull_secrets.model.telemetry import TokenState
from acr_credential_provider.pull_secrets.serving.metrics import Metrics
from acr_node_config.reporter.node_report import metrics
from acr_node_config.rollout import agent_status as of
from acr_node_config.rollout.agent_status import AgentStatus, SettingsStatus, TokenStatus
from prometheus_client import exposition
from support.exposition import HOST, page_of_node

ENTRY = "cri-1 in cn-hangzhou"
DAY = 86400.0
Pages = Callable[[int], Mapping[str, str]]
"""By minute: what each Pod exposes, by its name."""


@dataclass(frozen=True)
class Scenario:
    """*labels* are those of the alert that fires after *minutes*, None if none does; *value* stands in its summary."""

    alert: str
    about: str
    pages: Pages
    minutes: int
    labels: Mapping[str, str] | None = None
    value: str = ""


def nodes(**status_of: Callable[[int], AgentStatus]) -> Pages:
    """Return the pages of nodes by their names; each function gives the status of a minute."""

    def pages(minute: int) -> Mapping[str, str]:
        wall = minute * 60.0
        return {name: page_of_node(replace(at(minute), beat=wall), wall) for name, at in status_of.items()}

    return pages


def silent_from(begin: int, end: int) -> Pages:
    """Return the pages of a node whose agent gives no sign of life from minute *begin* to *end*."""

    def pages(minute: int) -> Mapping[str, str]:
        beat = begin if begin <= minute < end else minute
        status = AgentStatus("1.0", state=of.READY, is_serving=True, beat=beat * 60.0)
        return {"node-1": metrics(status, minute * 60.0, minute * 60.0)}

    return pages


def node(state: str = of.READY, *, serving: bool = True, **more: object) -> Callable[[int], AgentStatus]:
    """Return a node that stays the same."""
    return lambda _minute: AgentStatus("1.0", state=state, is_serving=serving, **more)


def counting(name: str, every: int, state: str = of.READY, tokens: int = 0) -> Callable[[int], AgentStatus]:
    """Return a node on which *name* happens *every* so many minutes; its token ends in minute *tokens*."""

    def at(minute: int) -> AgentStatus:
        left = (TokenStatus(HOST, 0.0, (tokens - minute) * 60.0),) if tokens else ()
        return AgentStatus("1.0", state=state, is_serving=True, counts={name: minute // every}, tokens=left)

    return at


def change(at_minute: int, *lost: str) -> Callable[[int], AgentStatus]:
    """Return a node that takes new settings at a minute, which take away *lost*."""

    def at(minute: int) -> AgentStatus:
        is_new = minute >= at_minute
        settings = SettingsStatus(of.IN_FORCE, "b" if is_new else "a", lost=lost if is_new else ())
        counts = {"settings_changes": int(is_new)}
        return AgentStatus("1.0", state=of.READY, is_serving=True, settings=settings, counts=counts)

    return at


def recovering(at_minute: int) -> Callable[[int], AgentStatus]:
    failing, well = node(of.FAILED, serving=False), node()
    return lambda minute: (well if minute >= at_minute else failing)(minute)


Step = Callable[[Metrics, int], None]


def controllers(*steps: Step) -> Pages:
    """Return the pages of replicas, one for each of *steps*, which say what happens to one in a minute."""
    replicas = [Metrics() for _ in steps]
    known: dict[int, Mapping[str, str]] = {}

    def pages(minute: int) -> Mapping[str, str]:
        assert minute == len(known), "in order, once"
        for replica, step in zip(replicas, steps, strict=True):
            replica.configuration("loaded", problems=0)
            replica.tokens([TokenState(ENTRY, minute * 60.0, minute * 60.0 + 3600.0)])
            step(replica, minute)
        texts = {f"pod-{at}": exposition.generate_latest(each.registry).decode() for at, each in enumerate(replicas)}
        known[minute] = texts
        return texts

    return pages


def leader(step: Step = lambda _replica, _minute: None) -> Step:
    def whole(replica: Metrics, minute: int) -> None:
        replica.leading(True)
        step(replica, minute)

    return whole


def standby(replica: Metrics, _minute: int) -> None:
    replica.leading(False)


def token(left: float) -> Step:
    """Return a step in which the token has *left* seconds; below zero there is none."""
    return leader(lambda replica, minute: replica.tokens([TokenState(ENTRY, 0.0, max(0.0, minute * 60.0 + left))]))


def configured(outcome: str, until: int = 10**6) -> Step:
    return leader(
        lambda replica, minute: replica.configuration(outcome if minute < until else "loaded", problems=minute < until)
    )


def each_minute(tell: Callable[[Metrics], None], every: int = 1) -> Step:
    return leader(lambda replica, minute: tell(replica) if minute % every == 0 and minute else None)


def once(tell: Callable[[Metrics], None]) -> Step:
    return leader(lambda replica, minute: tell(replica) if minute == 5 else None)


def certificate(days: float) -> Step:
    return leader(lambda replica, minute: replica.certificate(leaf=minute * 60 + days * DAY, authority=700 * DAY))


def hand_over(is_first: bool) -> Step:
    """Return a replica of two: the first leads up to minute 5, nobody in minute 6, then the second."""

    def step(replica: Metrics, minute: int) -> None:
        replica.leading(minute <= 5 if is_first else minute > 6)

    return step


NODE = {"node": "node-1"}
FAILS = "token_refresh_failures"
WAITS = node(of.WAITING, serving=False)
UNUSABLE = SettingsStatus(of.UNUSABLE, "a", "b", ("line 1: no",))
SCENARIOS = [
    Scenario("AcrNodeNotReady", "an installation fails", nodes(node_1=node(of.FAILED, serving=False)), 20, NODE),
    Scenario("AcrNodeNotReady", "a node cannot be changed", nodes(node_1=node(of.REFUSED, serving=False)), 20, NODE),
    Scenario("AcrNodeNotReady", "it waits for its turn", nodes(node_1=WAITS), 60),
    Scenario("AcrNodeNotReady", "it was uninstalled", nodes(node_1=node(of.UNINSTALLED, serving=False)), 60),
    Scenario("AcrNodeNotReady", "it has failed for ten minutes", nodes(node_1=node(of.FAILED, serving=False)), 10),
    Scenario("AcrNodeNotReady", "it recovers", nodes(node_1=recovering(5)), 20),
    Scenario("AcrNodeNotReady", "a change fails and the plugin works", nodes(node_1=node(of.REJECTED)), 60),
    Scenario("AcrNodeAgentSilent", "the agent hangs", silent_from(5, 100), 30, NODE),
    Scenario("AcrNodeAgentSilent", "the agent is restarted", silent_from(5, 100), 12),
    Scenario(
        "AcrNodeChangeFails",
        "the kubelet rejects a change",
        nodes(node_1=node(of.REJECTED)),
        40,
        {**NODE, "state": "rejected"},
    ),
    Scenario("AcrNodeChangeFails", "it waits", nodes(node_1=WAITS), 40),
    Scenario("AcrNodeChangeFails", "it has failed for twenty minutes", nodes(node_1=node(of.FAILED)), 20),
    Scenario("AcrNodeChangeFails", "it recovers", nodes(node_1=recovering(20)), 40),
    Scenario(
        "AcrRolloutStopped",
        "a node rejects the change, and all others wait",
        nodes(node_1=node(of.REJECTED), node_2=WAITS, node_3=WAITS),
        60,
        {},
        "2",
    ),
    Scenario(
        "AcrRolloutStopped",
        "node after node is installed",
        nodes(node_1=counting("installs", 20), node_2=WAITS, node_3=WAITS),
        180,
    ),
    Scenario("AcrRolloutStopped", "it has just begun", nodes(node_1=node(), node_2=WAITS), 10),
    Scenario("AcrRolloutStopped", "all is done", nodes(node_1=node(), node_2=node()), 60),
    Scenario(
        "AcrNodeSettingsUnusable",
        "settings with a mistake",
        nodes(node_1=node(settings=UNUSABLE), node_2=node(settings=UNUSABLE)),
        10,
        {},
        "2",
    ),
    Scenario("AcrNodeSettingsUnusable", "a mistake is being mended", nodes(node_1=node(settings=UNUSABLE)), 3),
    Scenario("AcrNodeSettingsUnusable", "new settings", nodes(node_1=change(5)), 20),
    Scenario("AcrNodeLoginsLost", "an entry is removed", nodes(node_1=change(5, ENTRY)), 20, {}, "1"),
    Scenario("AcrNodeLoginsLost", "an entry was removed hours ago", nodes(node_1=change(5, ENTRY)), 180),
    Scenario("AcrNodeLoginsLost", "an entry is added", nodes(node_1=change(5)), 20),
    Scenario("AcrNodeTokenRefreshFails", "ACR refuses", nodes(node_1=counting(FAILS, 1)), 30, NODE),
    Scenario("AcrNodeTokenRefreshFails", "ACR refuses now and then", nodes(node_1=counting(FAILS, 10)), 60),
    Scenario(
        "AcrNodeTokenDies",
        "a token is not renewed to its end",
        nodes(node_1=counting(FAILS, 1, tokens=35)),
        30,
        {**NODE, "registry": HOST},
    ),
    Scenario(
        "AcrNodeTokenDies", "it is not renewed, with an hour left", nodes(node_1=counting(FAILS, 1, tokens=90)), 30
    ),
    Scenario("AcrNodeTokenDies", "nothing uses it any more", nodes(node_1=counting("installs", 99, tokens=35)), 30),
    Scenario("AcrNodeDrift", "two programs fight", nodes(node_1=counting("drift_repairs", 10)), 90, NODE),
    Scenario("AcrNodeDrift", "a file is edited once", nodes(node_1=counting("drift_repairs", 60)), 90),
    Scenario("AcrTokenRunsOut", "no renewal", controllers(token(400)), 10, {"entry": ENTRY}),
    Scenario("AcrTokenRunsOut", "there never was a token", controllers(token(-1e9)), 10, {"entry": ENTRY}),
    Scenario("AcrTokenRunsOut", "the first token comes after a moment", controllers(token(-1e9)), 1),
    Scenario("AcrTokenRunsOut", "tokens are renewed", controllers(leader(), standby), 30),
    Scenario(
        "AcrTokenRenewalFails",
        "STS refuses the role",
        controllers(each_minute(lambda replica: replica.renewal_failed(ENTRY, "RoleRefusedError"), every=4)),
        30,
        {"entry": ENTRY, "reason": "RoleRefusedError"},
    ),
    Scenario(
        "AcrTokenRenewalFails",
        "the cloud is busy now and then",
        controllers(each_minute(lambda replica: replica.renewal_failed(ENTRY, "ThrottledError"), every=8)),
        20,
    ),
    *(
        Scenario("AcrConfigurationNotUsed", outcome, controllers(configured(outcome)), 20, {"state": outcome})
        for outcome in ("last_good", "partial", "absent")
    ),
    Scenario("AcrConfigurationNotUsed", "a mistake is mended", controllers(configured("last_good", until=5)), 20),
    Scenario("AcrConfigurationNotUsed", "a mistake is being mended", controllers(configured("last_good")), 5),
    *(
        Scenario(
            "AcrLoginsRemoved",
            f"an edit that takes {loss} is {outcome}",
            controllers(once(lambda replica, outcome=outcome, loss=loss: replica.edited(outcome, loss))),
            20,
            {"outcome": outcome, "loss": loss},
        )
        for outcome, loss in (("taken", "some"), ("refused", "all"))
    ),
    Scenario(
        "AcrLoginsRemoved", "an edit adds", controllers(once(lambda replica: replica.edited("taken", "none"))), 20
    ),
    Scenario("AcrPullSecretsNoLeader", "none leads", controllers(standby, standby), 10, {}),
    Scenario("AcrPullSecretsNoLeader", "two lead", controllers(leader(), leader()), 10, {}),
    Scenario("AcrPullSecretsNoLeader", "there is no replica", controllers(), 10, {}),
    Scenario("AcrPullSecretsNoLeader", "nobody leads for a minute", controllers(hand_over(True), hand_over(False)), 6),
    Scenario("AcrPullSecretsNoLeader", "another takes over", controllers(hand_over(True), hand_over(False)), 20),
    *(
        Scenario(
            "AcrPullSecretsNotWritten",
            f"the API server refuses: {cause}",
            controllers(each_minute(lambda replica, cause=cause: replica.wrote("Secret", "create", cause))),
            20,
            {"outcome": cause},
        )
        for cause in ("rbac", "quota", "failed")
    ),
    *(
        Scenario(
            "AcrPullSecretsNotWritten",
            f"writes: {cause}",
            controllers(each_minute(lambda replica, cause=cause: replica.wrote("Secret", "create", cause))),
            20,
        )
        for cause in ("ok", "conflict", "terminating")
    ),
    *(
        Scenario(
            "AcrWebhookLate",
            f"answers: {outcome}",
            controllers(each_minute(lambda replica, outcome=outcome: replica.admitted(outcome, 0.01))),
            20,
            {} if fires else None,
        )
        for outcome, fires in (("secret_pending", True), ("refused", True), ("patched", False), ("skipped", False))
    ),
    Scenario("AcrWebhookCertificate", "no renewal", controllers(certificate(3)), 5, {"certificate": "serving"}),
    Scenario("AcrWebhookCertificate", "renewal is due", controllers(certificate(30)), 5),
    Scenario("AcrWebhookCertificate", "there is no webhook", controllers(leader()), 5),
]
