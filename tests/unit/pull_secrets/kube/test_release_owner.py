"""Who owns what the controller writes: what is known of the ClusterRole, and when it is looked at again."""

import pytest
from acr_credential_provider.pull_secrets.kube.api_errors import ClusterError
from acr_credential_provider.pull_secrets.kube.release_owner import ReleaseOwner
from acr_credential_provider.pull_secrets.model.owner_reference import Reference, mark_of
from support.replica import Record

OURS = Reference("release", "uid-1")
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "keeper", "uid": "uid-2"}


class Api:
    """An API server with one ClusterRole, or an error in its place."""

    def __init__(self):
        self.telemetry = Record()
        self.uid = "uid-1"
        self.status = 200
        self.is_deleted = False
        self.asked = 0

    def get(self, path):
        self.asked += 1
        assert path == "/apis/rbac.authorization.k8s.io/v1/clusterroles/release"
        if self.status == 404:
            return None
        if self.status != 200:
            raise ClusterError("no", remedy="Wait.", status=self.status)
        leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if self.is_deleted else {}
        return {"metadata": {"name": "release", "uid": self.uid, **leaving}}


@pytest.mark.parametrize(
    ("references", "mark"),
    [
        (None, ""),
        ([], ""),
        ([OURS.document()], "release/uid-1"),
        ([OURS.document(), OTHER], "?"),
        ([OTHER], "?"),
        ([{**OURS.document(), "controller": True}], "?"),
        ([{**OURS.document(), "blockOwnerDeletion": True}], "?"),
        ([{**OURS.document(), "name": "other"}], "other/uid-1"),
    ],
)
def test_only_the_clusterrole_alone_counts_as_the_owner(references, mark):
    assert mark_of(references) == mark
    assert (mark == OURS.mark) == (references == [OURS.document()])


def test_without_a_name_nothing_is_asked_and_nothing_owned():
    api = Api()
    owner = ReleaseOwner(api, "")
    assert owner.checked_reference() is None
    assert (api.asked, owner.is_gone) == (0, False)


def test_it_is_looked_at_once_and_again_where_something_of_ours_was_deleted():
    now = iter(range(100))
    api = Api()
    owner = ReleaseOwner(api, "release", monotonic=lambda: float(next(now)))
    assert [owner.checked_reference(), owner.checked_reference()] == [OURS, OURS]
    assert api.asked == 1
    api.uid = "uid-2"
    owner.mark_stale()
    assert [owner.checked_reference(), owner.checked_reference()] == [Reference("release", "uid-2")] * 2
    assert api.asked == 2


@pytest.mark.parametrize("status", [404, 200], ids=["gone", "being deleted in the foreground"])
def test_one_that_was_there_and_is_gone_is_waited_for(status):
    api = Api()
    owner = ReleaseOwner(api, "release")
    owner.refresh()
    api.status, api.is_deleted = status, True
    owner.refresh()
    assert owner.is_gone
    assert api.telemetry.reasons() == {"OwnerGone"}
    api.status, api.is_deleted, api.uid = 200, False, "uid-2"
    owner.refresh()
    assert (owner.is_gone, owner.cached_reference()) == (False, Reference("release", "uid-2"))


def test_one_that_was_never_there_stops_nothing_and_is_told_once():
    api = Api()
    api.status = 404
    owner = ReleaseOwner(api, "release")
    owner.refresh()
    owner.refresh()
    assert (owner.is_gone, owner.cached_reference()) == (False, None)
    assert [reason for _, reason, _ in api.telemetry.events] == ["OwnerAbsent"]


@pytest.mark.parametrize("status", [0, 403, 500])
def test_what_is_known_stays_where_no_answer_says_otherwise(status):
    api = Api()
    owner = ReleaseOwner(api, "release")
    owner.refresh()
    api.status = status
    owner.refresh()
    assert (owner.is_gone, owner.cached_reference(), owner.may_return) == (False, OURS, status == 403)
    assert api.telemetry.reasons() == ({"OwnerUnknown"} if status == 403 else set())
