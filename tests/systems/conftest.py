"""Programs to install in these tests: they say their version, and which images settings cover."""

from __future__ import annotations

import json

import pytest
from acr_node_config.kubelet_config.provider_entries import NAME
from support.node_verbs import MORE
from support.node_world import COVERED


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """Return two versions of a program: the second covers more images."""

    def made(version: str, covered: dict) -> str:
        folder = tmp_path_factory.mktemp("bundle")
        script = folder / NAME
        script.write_text(
            f"#!/bin/sh\ncase $1 in --version) echo {NAME} {version};; settings) echo '{json.dumps(covered)}';; esac\n"
        )
        script.chmod(0o755)
        return str(folder)

    return made("0.1.0", COVERED), made("0.2.0", MORE)


@pytest.fixture(scope="session")
def settings(tmp_path_factory):
    file = tmp_path_factory.mktemp("settings") / "settings.yaml"
    file.write_text("a: b\n")
    file.chmod(0o600)
    return str(file)
