"""What a document shows is typed as it stands, and prints what the document shows."""

import hashlib
import os
import re

import pytest
from acr_credential_provider.version import VERSION
from support import harness
from support.markdown import blocks

from documents.document import every_typed, fits
from documents.world import NAME, Cloud, World, archive, be_a_node

IMAGE = "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app:1.0"
PLACEHOLDERS = {"IMAGE": IMAGE, "VERSION": VERSION}
"""Words in capitals stand for what differs."""
TYPED = every_typed()
ON_A_NODE = {name: [each for each in found if not (each.reason or each.needs_cluster)] for name, found in TYPED.items()}
LONG = 10
"""One of as many commands at most is not typed."""


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a machine that is a node for a document alone is root's")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("documents")


@pytest.fixture(scope="module")
def cloud():
    with Cloud() as cloud:
        yield cloud


def settings_of(name):
    """Return the settings that the document shows, else those of the page that all guides share."""
    for document in (name, "docs/install/README.md"):
        for block in blocks((harness.ROOT / document).read_text(), "yaml"):
            if "kind: ProviderSettings" in block.text:
                return block.text
    raise AssertionError(name)


def filled(text, **placeholders):
    """Return *text* with a value for each word in capitals that stands for what differs."""
    known = {**PLACEHOLDERS, **placeholders}
    return re.sub(r"\b[A-Z]{4,}\b", lambda word: known.get(word[0], word[0]), text)


def check(name, shown, ended):
    """Compare how the blocks *shown* by the document *name* ended with what it says."""
    for block, done in zip(shown, ended, strict=True):
        place = f"{name}:{block.line}"
        print(f"### {place}: {done.code}\n{block.text}{done.stdout}{done.stderr}")
        assert done.code == block.code, f"{place}\n{block.text}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        if block.output is not None:
            assert fits(block.output, done.stdout), f"{place} shows\n{block.output}\nprinted was\n{done.stdout}"


@pytest.mark.parametrize("name", [name for name, found in ON_A_NODE.items() if found])
def test_what_is_typed_on_a_node_works_as_it_stands(name, folder, cloud, tmp_path):
    assert harness.FROZEN.exists(), "run `make freeze` first: what is shipped is what is tested"
    world = World(tmp_path, program=harness.FROZEN, namespace=cloud.namespace)
    cloud.lead(world)
    be_a_node(world, folder)
    settings = settings_of(name)
    world.file("settings.yaml", settings)
    world.file("acr-configuration.yaml", (harness.ROOT / "tests/documents/acr-configuration.yaml").read_text())
    packed = archive(folder, VERSION)
    world.prepare(f"ln '{packed}' '{world.work}/' 2>/dev/null || cp '{packed}' '{world.work}/'")
    world.file("SHA256SUMS", f"{hashlib.sha256(packed.read_bytes()).hexdigest()}  {packed.name}\n")
    (world.work / NAME).symlink_to(harness.FROZEN)
    texts = [filled(each.text) for each in ON_A_NODE[name]]
    if not any("node install" in each for each in texts):  # by the DaemonSet, or on an earlier day
        world.prepare(
            f"cd '{world.work}' && {NAME} node install --stable-for 1 --settings settings.yaml >/dev/null && cd /"
        )
    check(name, ON_A_NODE[name], world.type(texts))


WRONG = [
    "aliyun-acr-credential-provider node plan --settings setings.yaml",
    "aliyun-acr-credential-provider node bake --profile nonsense --settings settings.yaml",
    "aliyun-acr-credential-provider settings validate a b c d",
    "aliyun-acr-credential-provider node status nonsense operand",
    "aliyun-acr-credential-provider doctor IMAGE --setings settings.yaml",
    "/opt/aliyun-acr-credential-provider/aliyun-acr-credential-provider --version",
    "aliyun-acr-credential-provider cache show | grep -q elsewhere",
]


def test_what_does_not_work_as_it_stands_is_seen(cloud, tmp_path):
    world = World(tmp_path, program=harness.FROZEN, namespace=cloud.namespace)
    world.file("settings.yaml", settings_of("README.md"))
    ended = world.type([*WRONG, "aliyun-acr-credential-provider settings validate settings.yaml"])
    assert [each.code != 0 for each in ended] == [*(True for _ in WRONG), False]


def test_few_commands_are_not_typed_and_each_has_its_reason(record_property):
    every = [(name, each) for name, found in TYPED.items() for each in found]
    commands = sum(len(each.commands) for _, each in every)
    left = {f"{name}:{each.line}": each for name, each in every if each.reason}
    untyped = sum(len(each.commands) for each in left.values())
    compared = sum(each.output is not None for _, each in every)
    lines = [f"{commands - untyped} of {commands} commands are typed, {compared} outputs compared; not typed:"]
    lines += [f"{place} ({len(each.commands)}): {each.reason}" for place, each in left.items()]
    record_property("documents", lines)
    assert untyped * LONG < commands
    assert compared >= LONG
