"""When a bundle is frozen again, which takes a minute, and when what is there will do."""

from pathlib import Path

import freeze
from bundles import CONTROLLER, PLUGIN


def test_each_input_of_a_bundle_is_there():
    for name in freeze.INPUTS:
        assert (freeze.PACKAGING / name).is_file(), name
    for bundle in (PLUGIN, CONTROLLER):
        assert (freeze.PACKAGING / f"requirements/{bundle.lock}.txt").is_file()


def test_the_two_are_frozen_from_their_own_locks():
    assert freeze.digest_of_inputs(PLUGIN) != freeze.digest_of_inputs(CONTROLLER)
    assert freeze.digest_of_inputs(PLUGIN) == freeze.digest_of_inputs(PLUGIN)


def test_every_file_that_the_spec_or_the_build_imports_of_ours_is_an_input():
    ours = {file.stem for file in Path(freeze.PACKAGING).glob("*.py")}
    for name in freeze.INPUTS:
        text = (freeze.PACKAGING / name).read_text()
        for module in ours:
            if f"\nimport {module}\n" in text or f"\nfrom {module} import" in text:
                assert f"{module}.py" in freeze.INPUTS, (name, module)
