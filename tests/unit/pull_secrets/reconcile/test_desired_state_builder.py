"""What should be in the cluster, and when that is not to be written down yet: a helper may be at work there."""

import pytest
from acr_credential_provider.model.authorization_token import AuthorizationGrant
from acr_credential_provider.pull_secrets.config.configuration import ActiveConfig, ParsedConfig
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.model.telemetry import Telemetry
from acr_credential_provider.pull_secrets.reconcile.conflicting_writers import HelperWatch
from acr_credential_provider.pull_secrets.reconcile.desired_state_builder import DesiredStateBuilder
from acr_credential_provider.pull_secrets.tokens.token_cache import Fetched, TokenCache
from support.judged import from_document

SETTINGS = from_document(
    {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [{"instanceId": "cri-a", "region": "cn-hangzhou", "identity": {"kind": "nodeRole"}}],
    }
)
HELPER = {"metadata": {}, "spec": {"replicas": 1}}
AWAY = ClusterError("no usable answer", remedy="Nothing, if it passes.")
FORBIDDEN = ClusterError("refused", remedy="Grant the right.", status=403)


class Api:
    """Answers about the helper's Deployment with the next of *answers*, the last one again and again."""

    def __init__(self, *answers):
        self.telemetry = Telemetry()
        self._answers = list(answers)

    def get(self, path):
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Configured:
    active = ActiveConfig(ParsedConfig(SETTINGS), "")

    def __init__(self):
        self.reported = []

    def report(self, reason, error, entry=""):
        self.reported.append(reason)


class Watched:
    def watch_secrets(self, names, *, retired):
        self.names = {*names, *retired}


def composer(*answers, take_over=False):
    tokens = TokenCache(clock=lambda: 1000.0)
    tokens.set_expected(SETTINGS, {})
    grant = AuthorizationGrant("u", "p", 3600.0)
    tokens.keep(SETTINGS.registries[0], Fetched(grant, "cn-hangzhou", ("a.example",)))
    config = Configured()
    helper = HelperWatch(Api(*answers), tokens, config, take_over=take_over)
    return DesiredStateBuilder(Watched(), tokens, config, helper, None)


def test_beside_a_helper_nothing_is_to_be_written_and_without_one_everything():
    beside, alone = composer(HELPER), composer(None)
    for each in (beside, alone):
        assert each.build(SETTINGS, ("acr-credential-aliyun",))
    assert beside.state.is_blocked
    assert beside.is_waiting
    assert not alone.state.is_blocked
    assert not alone.is_waiting
    assert not alone.build(SETTINGS, ("acr-credential-aliyun",))


@pytest.mark.parametrize("then", [None, HELPER], ids=["there is none", "there is one"])
@pytest.mark.parametrize("take_over", [False, True])
def test_as_long_as_nobody_knows_whether_there_is_a_helper_nothing_is_to_be_written(then, take_over):
    """One unanswered question must not let us fight it until everything is looked at again."""
    made = composer(AWAY, AWAY, then, take_over=take_over)
    made.build(SETTINGS, ("acr-credential-aliyun",))
    assert made.state.is_blocked
    assert made.is_waiting
    made.look_for_helper()
    assert made.state.is_blocked
    made.look_for_helper()
    assert made.state.is_blocked == (then is not None and not take_over)


def test_what_was_known_of_a_helper_holds_while_nobody_answers():
    gone, there = composer(None, AWAY), composer(HELPER, AWAY)
    for each in (gone, there):
        each.build(SETTINGS, ("acr-credential-aliyun",))
        each.look_for_helper()
    assert not gone.state.is_blocked
    assert there.state.is_blocked


def test_who_may_not_look_for_a_helper_is_told_and_not_stopped():
    made = composer(FORBIDDEN, AWAY, FORBIDDEN)
    made.build(SETTINGS, ("acr-credential-aliyun",))
    assert not made.state.is_blocked
    assert made._config.reported == ["HelperUnknown"]
    made.look_for_helper()
    made.look_for_helper()
    assert not made.state.is_blocked
