"""The doctor names the step that is broken, whatever is: one break at a time, on a node in miniature."""

import pytest
from e2e import broken_identities, broken_network, broken_nodes
from e2e.doctor_fixture import STEPS, World
from support import harness
from support.api_server import ApiServer

CATALOGUES = (broken_nodes.BREAKS, broken_identities.BREAKS, broken_network.BREAKS)
BREAKS = {name: way for each in CATALOGUES for name, way in each.items()}


@pytest.fixture
def world(sandbox, tmp_path):
    with ApiServer() as api:
        yield World(sandbox, tmp_path, api)


def broken(ended):
    return [each for each in ended.document["checks"] if each["status"] in ("failed", "no match")]


@pytest.mark.parametrize("name", BREAKS)
def test_the_first_broken_step_is_named_with_its_remedy(world, name):
    way, step, remedy = BREAKS[name]
    way(world)
    ended = world.doctor()
    found = ended.document["checks"]
    assert [each["name"] for each in found] == STEPS
    failed = broken(ended)
    assert [each["name"] for each in failed] == [step], found
    assert remedy in failed[0]["remedy"]
    at = STEPS.index(step)
    assert {each["status"] for each in found[:at]} <= {"ok", "skipped"}
    assert {(each["status"], each["detail"]) for each in found[at + 1 :]} <= {("not run", f"{step} failed")}
    code = 3 if failed[0]["status"] == "no match" else 1
    assert (ended.code, ended.document["healthy"]) == (code, False)
    assert world.sandbox.key.secret.encode() not in ended.stdout


@pytest.mark.parametrize(
    "name",
    [
        "too few labels",
        "misspelt field",
        "no policy",
        "clock behind",
        "annotation that is not passed on",
        "nodes without the audience",
        "pod without a role",
        "hardened metadata service that is asked by v1",
        "second role that does not trust the first",
        "token file that is absent",
    ],
)
def test_from_source_the_same_step_is_named(world, name):
    way, step, _ = BREAKS[name]
    way(world)
    assert [each["name"] for each in broken(world.doctor(harness.source))] == [step]


CAUSES = {
    "no role on the node": ["no role"],
    "a role without the three actions": ["no policy", "no right to list hosts", "pod whose role has no policy"],
    "a trust policy that refuses the audience": ["oidc provider of another audience"],
    "a trust policy that refuses the issuer": ["oidc provider of another issuer"],
    "a trust policy that refuses the subject": [
        "role that does not trust the service account",
        "pod that its role does not trust",
        "role that does not trust the key",
        "second role that does not trust the first",
    ],
    "a provider that is not registered": ["oidc provider that is not registered"],
    "a maximum session duration smaller than asked": ["session longer than the role allows"],
    "RRSA not enabled": ["token file that is absent"],
    "clock skew": ["clock behind", "clock ahead", "clock behind stss", "token file that nobody renews"],
    "another account": [
        "instance of another account",
        "instance of another account than the chains end",
        "role of another account than the settings say",
        "role of another account than the clusters provider",
    ],
    "another region": ["instance of another region", "hosts asked for in another region"],
    "a throttled STS": ["sts that throttles"],
    "a hardened metadata service": ["hardened metadata service that is asked by v1"],
    "a metadata service without tokens": ["metadata service without tokens"],
    "no metadata service": ["no metadata service"],
    "an entry for a new Personal Edition that has no login": ["new personal edition asked for tokens"],
}
"""What keeps an identity from working, and the breaks that show it."""


@pytest.mark.parametrize(("cause", "name"), [(cause, name) for cause, names in CAUSES.items() for name in names])
def test_a_pull_tells_each_cause_with_the_remedy_that_the_doctor_has(world, cause, name):
    way, _, remedy = BREAKS[name]
    way(world)
    ended = world.pull()
    assert (ended.code, ended.stdout) == (1, b""), cause
    error, told = ended.stderr.decode().splitlines()
    assert error.startswith("error: ")
    assert told.startswith("remedy: ")
    assert remedy in told
    (failed,) = broken(world.doctor())
    assert remedy in failed["remedy"]
