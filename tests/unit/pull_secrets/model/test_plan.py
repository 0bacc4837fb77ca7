"""The plan against a small model of the API server: whatever is observed, following the plan is safe and enough."""

import hashlib

from acr_credential_provider.pull_secrets.model.dockerconfigjson import EMPTY
from acr_credential_provider.pull_secrets.model.names import SECRET_TYPE
from acr_credential_provider.pull_secrets.model.objects import Secret, ServiceAccount
from acr_credential_provider.pull_secrets.model.plan import (
    ChangeAccount,
    CreateSecret,
    DeleteSecret,
    DesiredNamespace,
    Observed,
    UpdateSecret,
    plan,
)
from hypothesis import given
from hypothesis import strategies as st

OURS, OLD, HELPERS, THEIRS = (
    "acr-credential-aliyun",
    "acr-credential-old",
    "acr-credential-secret-aggregation",
    "dockercfg-x",
)
LOGIN = b'{"auths":{"a.example":{"auth":"dTpw"}}}'


def digest(content):
    return hashlib.sha256(content).hexdigest()


def secret(name=OURS, content=LOGIN, *, ours=True, kind=SECRET_TYPE, labelled=True):
    return Secret(
        *("team", name, f"uid-{name}", "1"), is_ours=ours, type=kind, digest=digest(content), has_our_label=labelled
    )


def update(name=OURS, content=LOGIN):
    return UpdateSecret("team", name, "1", content, uid=f"uid-{name}", digest=digest(content))


def account(name="default", pull_secrets=None):
    return ServiceAccount("team", name, f"uid-{name}", "7", pull_secrets=pull_secrets)


def observed(*objects):
    secrets = {each.name: each for each in objects if isinstance(each, Secret)}
    return Observed("team", secrets, [each for each in objects if isinstance(each, ServiceAccount)])


def desired(content=LOGIN, *, is_selected=True, accounts=("default",), **more):
    return DesiredNamespace(
        OURS, content, digest(content), is_selected=is_selected, accounts=frozenset(accounts), **more
    )


class Api:
    """The API server as far as the plan's actions need one; it refuses what the real one refuses."""

    def __init__(self, seen):
        self.secrets = dict(seen.secrets)
        self.accounts = {each.name: each for each in seen.accounts}
        self.version = 100

    def seen(self):
        return Observed("team", self.secrets, list(self.accounts.values()))

    def do(self, action):
        self.version += 1
        if isinstance(action, CreateSecret):
            assert action.name not in self.secrets
            self.secrets[action.name] = Secret(
                "team", action.name, f"new-{self.version}", str(self.version), True, SECRET_TYPE, digest(action.content)
            )
        elif isinstance(action, UpdateSecret):
            old = self.secrets[action.name]
            assert old.resource_version == action.resource_version
            self.secrets[action.name] = Secret(
                "team", old.name, old.uid, str(self.version), True, old.type, digest(action.content)
            )
        elif isinstance(action, DeleteSecret):
            old = self.secrets.pop(action.name)
            assert (old.uid, old.resource_version) == (action.uid, action.resource_version)
        else:
            self.patch(self.accounts[action.name], action.patch())

    def patch(self, old, operations):
        names = None if old.pull_secrets is None else list(old.pull_secrets)
        assert operations[0] == {"op": "test", "path": "/metadata/resourceVersion", "value": old.resource_version}
        for each in operations[1:]:
            steps = each["path"].split("/")[1:]
            assert steps[0] == "imagePullSecrets"
            if each["op"] == "test":
                assert names[int(steps[1])] == each["value"]
            elif each["op"] == "remove":
                names.pop(int(steps[1]))
            elif steps[1:] == ["-"]:
                names.append(each["value"]["name"])
            else:
                assert names is None, "a list that is there must not be replaced"
                names = [item["name"] for item in each["value"]]
        self.accounts[old.name] = ServiceAccount(
            "team", old.name, old.uid, str(self.version), pull_secrets=None if names is None else tuple(names)
        )


NAMES = st.sampled_from([OURS, OLD, HELPERS, THEIRS, "registry-login"])
NAMELESS = st.just("")  # API servers take `{}` and `{name: ""}`, and the same name twice
LISTS = st.none() | st.lists(NAMES | NAMELESS, max_size=5).map(tuple)
SECRETS = st.builds(
    secret,
    NAMES,
    st.sampled_from([LOGIN, b"other", EMPTY]),
    ours=st.booleans(),
    kind=st.sampled_from([SECRET_TYPE, SECRET_TYPE, "Opaque"]),
)
WORLDS = st.builds(
    lambda secrets, lists: observed(*secrets, *(account(name, each) for name, each in lists.items())),
    st.lists(SECRETS, unique_by=lambda each: each.name),
    st.dictionaries(st.sampled_from(["default", "build", "ci"]), LISTS, max_size=3),
)
WISHES = st.builds(
    desired,
    st.sampled_from([LOGIN, EMPTY]),
    is_selected=st.booleans(),
    accounts=st.sets(st.sampled_from(["default", "build"])),
    retired=st.sampled_from([frozenset(), frozenset({OLD})]),
    replaced=st.sampled_from([frozenset(), frozenset({HELPERS})]),
) | st.just(
    # What `uninstall` wishes: no Secret at all, and those of all names gone.
    DesiredNamespace("", b"", "", is_selected=False, accounts=frozenset(), retired=frozenset({OURS, OLD}))
)


@given(WORLDS, WISHES)
def test_when_the_plan_was_followed_there_is_nothing_left_to_do(world, wish):
    api = Api(world)
    for action in plan(world, wish):
        api.do(action)
    assert plan(api.seen(), wish) == []


@given(WORLDS, WISHES)
def test_what_is_others_is_as_before(world, wish):
    api = Api(world)
    for action in plan(world, wish):
        api.do(action)
    may_change = {wish.name, *wish.retired, *wish.replaced}
    for before in world.accounts:
        after = api.accounts[before.name].pull_secrets
        kept = [name for name in before.pull_secrets or () if name not in may_change]
        assert [name for name in after or () if name not in may_change] == kept
    for name, before in world.secrets.items():
        if (not before.is_ours or name not in may_change) and name not in wish.replaced:
            assert api.secrets[name] == before


@given(WORLDS, WISHES)
def test_at_no_point_does_our_reference_lead_nowhere(world, wish):
    """Wherever the process dies: an account that we gave the reference has the Secret."""
    api = Api(world)
    before = {each.name: wish.name in (each.pull_secrets or ()) for each in world.accounts}
    for action in plan(world, wish):
        api.do(action)
        for name, each in api.accounts.items():
            if wish.name in (each.pull_secrets or ()) and not before[name]:
                assert wish.name in api.secrets
        if isinstance(action, DeleteSecret):
            assert not any(action.name in (each.pull_secrets or ()) for each in api.accounts.values())


@given(WORLDS, WISHES)
def test_a_secret_keeps_its_uid_as_long_as_it_is_wanted(world, wish):
    api = Api(world)
    for action in plan(world, wish):
        api.do(action)
    for name, before in world.secrets.items():
        if wish.is_selected and name == wish.name:
            assert api.secrets[name].uid == before.uid


@given(WORLDS, WISHES)
def test_a_reference_is_never_added_twice(world, wish):
    api = Api(world)
    for action in plan(world, wish):
        api.do(action)
    for before in world.accounts:
        had = (before.pull_secrets or ()).count(wish.name)
        assert (api.accounts[before.name].pull_secrets or ()).count(wish.name) <= max(had, 1)


def test_the_secret_comes_before_the_reference():
    actions = plan(observed(account()), desired())
    assert [type(each) for each in actions] == [CreateSecret, ChangeAccount]
    assert actions[1].patch() == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/imagePullSecrets", "value": [{"name": OURS}]},
    ]


def test_ours_goes_behind_the_entries_of_others():
    (change,) = plan(observed(secret(), account(pull_secrets=(THEIRS,))), desired())
    assert change.patch()[1:] == [{"op": "add", "path": "/imagePullSecrets/-", "value": {"name": OURS}}]


def test_a_secret_whose_content_is_right_is_not_written():
    assert plan(observed(secret(), account(pull_secrets=(OURS,))), desired()) == []


def test_new_content_goes_into_the_secret_that_is_there():
    assert plan(observed(secret(content=b"old"), account(pull_secrets=(OURS,))), desired()) == [update()]


def test_our_secret_without_its_label_is_still_ours_and_gets_it_back():
    assert plan(observed(secret(labelled=False), account(pull_secrets=(OURS,))), desired()) == [update()]
    gone = plan(observed(secret(labelled=False), account(pull_secrets=(OURS,))), desired(is_selected=False))
    assert [type(action) for action in gone] == [ChangeAccount, DeleteSecret]


def test_an_effect_is_of_one_object_and_one_goal():
    (first,) = plan(observed(secret(), account()), desired())
    again = plan(observed(secret(), account(pull_secrets=("x",))), desired())[0]
    assert first.effect == again.effect, "whatever else is in the list"
    renewed = ServiceAccount("team", "default", "another uid", "7")
    (of_another,) = plan(observed(secret(), renewed), desired())
    assert of_another.effect != first.effect, "an account that was deleted and made again is another one"
    (removal,) = plan(observed(secret(), account(pull_secrets=(OURS,))), desired(accounts=()))
    assert removal.effect.subject == first.effect.subject
    assert removal.effect.goal != first.effect.goal


def test_an_account_that_left_the_settings_loses_our_entry_alone():
    (change,) = plan(observed(secret(), account(pull_secrets=(THEIRS, OURS, "x"))), desired(accounts=()))
    assert change.remove == ((1, OURS),)


@given(st.lists(st.sampled_from(["", "a/b", "UPPER", "\n", OURS, THEIRS]), max_size=6), st.booleans())
def test_an_entry_that_names_no_secret_is_never_ours(names, is_empty_name_retired):
    retired = frozenset({OURS, "a/b", *([""] if is_empty_name_retired else [])})
    wish = DesiredNamespace("", b"", "", is_selected=False, accounts=frozenset(), retired=retired)
    changes = plan(observed(account(pull_secrets=tuple(names))), wish)
    assert {name for each in changes for _, name in each.remove} == {OURS} & set(names)


def test_a_namespace_that_left_the_settings_is_detached_and_then_cleaned():
    actions = plan(observed(secret(), account(pull_secrets=(OURS,))), desired(is_selected=False))
    assert [type(each) for each in actions] == [ChangeAccount, DeleteSecret]


def test_a_secret_of_somebody_else_with_our_name_is_neither_written_nor_referred_to():
    assert plan(observed(secret(ours=False, content=b"x"), account()), desired()) == []
    assert plan(observed(secret(ours=False), account(pull_secrets=(OURS,))), desired(is_selected=False)) == []


def test_without_any_login_nothing_new_is_made_but_dead_logins_go():
    assert plan(observed(account()), desired(EMPTY)) == []
    (update,) = plan(observed(secret(), account(pull_secrets=(OURS,))), desired(EMPTY))
    assert update.content == EMPTY


def test_another_name_takes_over_without_a_gap():
    actions = plan(observed(secret(OLD), account(pull_secrets=(OLD, THEIRS))), desired(retired=frozenset({OLD})))
    assert [type(each) for each in actions] == [CreateSecret, ChangeAccount, DeleteSecret]
    assert actions[1].remove == ((0, OLD),)
    assert actions[1].add == OURS


def test_ours_replaces_the_entry_of_a_helper_in_one_step_and_its_secret_lives_on():
    world = observed(secret(HELPERS, b"theirs", ours=False), account(pull_secrets=(HELPERS,)))
    actions = plan(world, desired(replaced=frozenset({HELPERS})))
    assert actions == [
        CreateSecret("team", OURS, LOGIN),
        update(HELPERS),
        ChangeAccount("team", "default", "7", has_list=True, add=OURS, remove=((0, HELPERS),), uid="uid-default"),
    ]
    assert actions[2].patch()[1:] == [
        {"op": "test", "path": "/imagePullSecrets/0/name", "value": HELPERS},
        {"op": "remove", "path": "/imagePullSecrets/0"},
        {"op": "add", "path": "/imagePullSecrets/-", "value": {"name": OURS}},
    ]


def test_a_helper_keeps_its_entry_as_long_as_ours_has_nothing_to_give():
    world = observed(secret(HELPERS, b"theirs", ours=False), account(pull_secrets=(HELPERS,)))
    assert plan(world, desired(EMPTY, replaced=frozenset({HELPERS}))) == []


def test_no_representation_of_an_action_holds_a_login():
    actions = plan(observed(secret(content=b"x"), account()), desired())
    assert "dTpw" not in repr((actions, desired()))


def test_where_a_stranger_has_our_name_an_older_secret_stays_for_those_who_refer_to_it():
    stranger, old = secret(ours=False), secret(OLD)
    world = observed(stranger, old, account(pull_secrets=(OLD,)))
    assert plan(world, desired(retired=frozenset({OLD}))) == []


def test_an_old_secret_lives_on_as_long_as_the_new_name_is_taken_by_somebody_else():
    world = observed(secret(ours=False), secret(OLD, b"x"), account(pull_secrets=(OLD,)))
    assert plan(world, desired(retired=frozenset({OLD}))) == [update(OLD)]
