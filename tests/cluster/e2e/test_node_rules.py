"""Several kubelets' own code judges the configs by which the node's installer decides what may be written."""

import subprocess

import pytest
from acr_credential_provider.kubelet.config_validation import problems
from acr_node_config.kubelet_config.document import Document, fresh
from cluster import parts
from cluster.node import ENVIRONMENT
from support.kubelet_configs import CASES, PROGRAMS, TOKENS, provider

MODULES = parts.lookups()
IMAGE = "nobodys.invalid/app"

STRICT = (1, 33)
"""Of the kubelets here the first that minds fields that it does not know; we mind for all, as the next one will."""


def is_left_unread(problem):
    words = ("a field that kubelets from 1.32 on do not start with", "came with Kubernetes", "twice")
    return any(each in problem.problem for each in words)


def version_of(module):
    major, minor = module.version[1:].split(".")[:2]
    return int(major), int(minor)


@pytest.fixture(params=MODULES, ids=lambda module: module.version)
def kubelet(request, tmp_path):
    """Return the version, and a function that says why its kubelet does not start with some files ("" if it does)."""
    program = request.param.built / "lookup"
    if not program.exists():
        pytest.skip(f"{program} is not built: run `make e2e-assets`")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
        (programs / name).chmod(0o755)

    def refuses(files, *, is_directory):
        folder = tmp_path / "config"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        place = folder if is_directory else folder / next(iter(files))
        ran = subprocess.run(
            [program, place, programs, IMAGE], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
        )
        for name in files:
            (folder / name).unlink()
        folder.rmdir()
        return ran.stderr if ran.returncode else ""

    return version_of(request.param), refuses


def test_the_rules_are_those_of_the_kubelet(kubelet):
    version, refuses = kubelet
    wrong = []
    for case in CASES:
        refusal = refuses(case.files, is_directory=case.is_directory)
        ours = problems(case.files, version, is_directory=case.is_directory, executables=PROGRAMS)
        # What it refuses we must refuse; what it takes we must take, but for the few that are named.
        is_stricter = case.is_stricter or (version < STRICT and all(map(is_left_unread, ours)))
        if bool(refusal) != bool(ours) and not (ours and is_stricter):
            wrong.append((case.name, refusal or "starts", [str(each) for each in ours]))
    assert not wrong, wrong


def test_what_the_installer_writes_is_taken(kubelet):
    version, refuses = kubelet
    entries = [provider("aliyun-acr-credential-provider")]
    if version >= (1, 34):
        entries.append({**provider("aliyun-acr-credential-provider-token"), "tokenAttributes": TOKENS})
    assert not refuses({"ours.yaml": fresh(entries, version)}, is_directory=False)
    for case in CASES:
        if case.starts(version) and not case.is_stricter and not case.is_directory:
            (name, data), *_ = case.files.items()
            document = Document.parse(data, name)
            if document.text.value["apiVersion"].endswith("/v1"):
                assert not refuses({name: document.with_providers(entries)}, is_directory=False), case.name
