import pytest
from acr_credential_provider.pull_secrets.reconcile.conflicting_writers import RevertBackoff, helper_runs


class Api:
    def __init__(self, found):
        self.found = found

    def get(self, path):
        assert path == "/apis/apps/v1/namespaces/kube-system/deployments/aliyun-acr-credential-helper"
        return self.found


def deployment(*, wanted=1, running=1, labels=None):
    return {"metadata": {"labels": labels or {}}, "spec": {"replicas": wanted}, "status": {"replicas": running}}


@pytest.mark.parametrize(
    ("found", "runs"),
    [
        (None, False),
        (deployment(), True),
        (deployment(wanted=0, running=1), True),
        (deployment(wanted=0, running=0), False),
        (deployment(labels={"app.kubernetes.io/name": "aliyun-acr-credential-provider"}), False),
        ({"metadata": {}}, True),
    ],
)
def test_another_helper_is_at_work_if_any_of_it_runs_or_is_to_and_it_is_not_us(found, runs):
    assert helper_runs(Api(found)) is runs


def test_our_entry_is_put_back_at_once_a_few_times_and_then_ever_more_slowly():
    now = [0.0]
    reverts = RevertBackoff(monotonic=lambda: now[0])
    waits, told = [], []
    for _ in range(20):
        wait = reverts.wait_for("team", "default")
        waits.append(wait)
        now[0] += wait
        told.append(reverts.added("team", "default"))
    assert waits[:6] == [0.0] * 6
    assert waits[6:] == sorted(waits[6:])
    assert waits[-1] == 300.0
    assert told.count(True) == 1, "operators hear of it once"
    assert reverts.wait_for("team", "another") == 0.0


def test_what_was_reverted_long_ago_is_forgotten():
    now = [0.0]
    reverts = RevertBackoff(monotonic=lambda: now[0])
    for _ in range(10):
        reverts.added("team", "default")
    now[0] += 1000
    reverts.added("team", "default")
    assert reverts.wait_for("team", "default") == 0.0
