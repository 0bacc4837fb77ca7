import pytest
from acr_credential_provider.pull_secrets.model.names import FIELD_MANAGER
from acr_credential_provider.pull_secrets.model.plan import Effect
from acr_credential_provider.pull_secrets.reconcile import conflicting_writers
from acr_credential_provider.pull_secrets.reconcile.conflicting_writers import RevertBackoff, helper_runs, last_writer


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


ENTRY = Effect(("ServiceAccount", "uid-1"), "+ours")


def test_a_write_is_repeated_at_once_a_few_times_and_then_ever_more_slowly():
    now = [0.0]
    reverts = RevertBackoff(monotonic=lambda: now[0])
    waits, said = [], []
    for _ in range(20):
        wait = reverts.wait_for(ENTRY)
        waits.append(wait)
        now[0] += wait
        is_next = reverts.is_about_to_tell(ENTRY)
        said.append(reverts.written(ENTRY))
        assert is_next == said[-1]
    assert waits[:6] == [0.0] * 6
    assert waits[6:] == sorted(waits[6:])
    assert waits[-1] == 300.0
    assert said.count(True) == 1, "operators hear of it once"
    assert reverts.wait_for(Effect(("ServiceAccount", "uid-2"), "+ours")) == 0.0


def test_what_was_undone_long_ago_is_forgotten():
    now = [0.0]
    reverts = RevertBackoff(monotonic=lambda: now[0])
    for _ in range(10):
        reverts.written(ENTRY)
    now[0] += 1000
    reverts.written(ENTRY)
    assert reverts.wait_for(ENTRY) == 0.0


def test_what_we_undid_ourselves_is_no_fight():
    reverts = RevertBackoff(monotonic=lambda: 0.0)
    for _ in range(50):
        assert reverts.wait_for(ENTRY) == 0.0
        assert not reverts.written(ENTRY)
        assert not reverts.written(Effect(ENTRY.subject, "-ours"))


def test_an_object_that_is_deleted_and_made_again_is_no_fight():
    reverts = RevertBackoff(monotonic=lambda: 0.0)
    for number in range(50):
        effect = Effect(("ServiceAccount", f"uid-{number}"), "+ours")
        assert reverts.wait_for(effect) == 0.0
        assert not reverts.written(effect)


def test_the_memory_has_an_end_and_the_fights_of_now_are_in_it(monkeypatch):
    monkeypatch.setattr(conflicting_writers, "REMEMBERED", 100)
    reverts = RevertBackoff(monotonic=lambda: 0.0)
    for number in range(1000):
        reverts.written(Effect(("ServiceAccount", f"uid-{number}"), "+ours"))
        if number % 50 == 0:
            reverts.written(ENTRY)
    assert len(reverts._written) == 100
    assert reverts.wait_for(ENTRY) > 0


def written_by(*managers):
    return {
        "metadata": {
            "managedFields": [
                {"manager": name, "time": time, "fieldsV1": {f"f:{field}": {}}} for name, time, field in managers
            ]
        }
    }


@pytest.mark.parametrize(
    ("document", "who"),
    [
        (written_by(("argocd-controller", "2026-01-02T00:00:00Z", "data")), "argocd-controller"),
        (written_by(("old", "2026-01-01T00:00:00Z", "data"), ("new", "2026-01-03T00:00:00Z", "data")), "new"),
        (written_by(("flux", "2026-01-01T00:00:00Z", "data"), ("label", "2026-01-03T00:00:00Z", "metadata")), "flux"),
        (written_by(("kubectl-edit", "2026-01-03T00:00:00Z", "metadata")), "kubectl-edit"),
        (written_by((FIELD_MANAGER, "2026-01-05T00:00:00Z", "data")), ""),
        (written_by(("a\x1b[31m\nerror: b", "2026-01-05T00:00:00Z", "data")), "a\\x1b[31m error: b"),
        ({}, ""),
        ({"metadata": {"managedFields": [None, {"manager": 5}, {"manager": "x"}]}}, "x"),
        ({"metadata": {"managedFields": "no list"}}, ""),
    ],
)
def test_who_wrote_last_is_told_by_the_managed_fields(document, who):
    assert last_writer(document, "data") == who
