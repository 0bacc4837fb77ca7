"""The commands that the guides show exist, with each of their options."""

import re

import harness
import pytest

NAME = "aliyun-acr-credential-provider"
GUIDES = sorted((harness.ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def commands():
    """Yield (guide, words) of each command of ours in a shell block, its pipes and comments cut off."""
    for guide in GUIDES:
        for block in BLOCK.findall(guide.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r"[|;]|\s#|&&", line):
                    words = part.split()
                    if NAME in words:
                        yield guide.name, tuple(words[words.index(NAME) + 1 :])


COMMANDS = list(dict.fromkeys(commands()))


@pytest.mark.parametrize(("guide", "words"), COMMANDS, ids=[f"{guide}: {' '.join(words)}" for guide, words in COMMANDS])
def test_each_command_that_a_guide_shows_exists_with_its_options(guide, words, tmp_path):
    program = harness.source(tmp_path / "settings.yaml", tmp_path / "cache")
    verbs = [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)][: 2 if words[0] in two_worded() else 1]
    ended = program.run(b"", *verbs, "--help")
    assert ended.code == 0, ended.stderr
    told = ended.stdout.decode()
    for option in (word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", told), f"{guide}: {' '.join(verbs)} has no {option}"


def two_worded():
    return {"settings", "cache", "node", "pull-secrets", "openshift", "render"}


def test_the_guides_show_commands_at_all():
    assert {guide for guide, _ in COMMANDS} >= {"platforms.md"}
