"""What the README says is so."""

import json
import os
import re
from pathlib import Path

import pytest
from acr_credential_provider.settings import ProviderSettings, judge

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def blocks(language):
    """Return the texts between fences that open with *language*."""
    texts, inside = [], None
    for line in README.splitlines(keepends=True):
        fence = line.strip()
        if inside is None and fence.startswith("```"):
            inside, text = fence[3:], ""
        elif fence == "```":
            if inside == language:
                texts.append(text)
            inside = None
        elif inside is not None:
            text += line
    return texts


def test_the_usage_is_what_help_prints(program):
    shown = program.run(b"", "--help", env={**os.environ, "COLUMNS": "100"}).stdout.decode()
    assert blocks("")[0] == shown


def test_its_settings_are_valid():
    whole, identity = (text for text in blocks("yaml") if "registries" in text or text.startswith("identity"))
    settings = judge(whole)
    assert isinstance(settings, ProviderSettings)
    indented = "".join(f"       {line}\n" for line in identity.splitlines())
    replaced = re.sub(r" +identity:\n +kind: nodeRole.*\n", lambda _: indented, whole)
    assert judge(replaced).registries[0].identity.kind == "accessKey"


def test_its_policy_is_complete():
    assert json.loads(blocks("json")[0])["Statement"][0]["Action"] == [
        "cr:GetAuthorizationToken",
        "cr:ListInstanceEndpoint",
        "cr:PullRepository",
    ]


@pytest.mark.parametrize("command", ["settings validate", "cache show", "cache clear", "cache warm"])
def test_each_command_it_names_exists(program, command):
    assert command in README
    assert program.run(b"", *command.split(), "--help").code == 0
