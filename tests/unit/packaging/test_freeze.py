"""When a bundle is frozen again, which takes a minute, and when what is there will do."""

import re
from pathlib import Path

from freeze import build
from freeze.bundles import CONTROLLER, PLUGIN


def test_each_input_of_a_bundle_is_there():
    for name in build.INPUTS:
        assert (build.FREEZE / name).is_file(), name
    for bundle in (PLUGIN, CONTROLLER):
        assert (build.LOCKS / f"{bundle.lock}.txt").is_file()


def test_the_two_are_frozen_from_their_own_locks():
    assert build.digest_of_inputs(PLUGIN) != build.digest_of_inputs(CONTROLLER)
    assert build.digest_of_inputs(PLUGIN) == build.digest_of_inputs(PLUGIN)


def test_every_file_that_the_spec_or_the_build_imports_of_ours_is_an_input():
    ours = {file.stem for file in Path(build.FREEZE).glob("*.py")}
    for name in build.INPUTS:
        text = (build.FREEZE / name).read_text()
        for module in ours:
            if re.search(rf"^from freeze(\.{module} import| import .*\b{module}\b)", text, re.MULTILINE):
                assert f"{module}.py" in build.INPUTS, (name, module)
