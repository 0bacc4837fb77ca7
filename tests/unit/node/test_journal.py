"""What one version's installer wrote down, another one ends."""

import pytest
from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.install.journal import Journal
from acr_node_config.install.state import FOLDER, InstallerFolder
from acr_node_config.model.errors import NodeConfigError
from acr_node_config.model.running_config import RunningConfig

OF_AN_EARLIER_VERSION = {
    "verb": "install",
    "phase": "applied",
    "key": "key",
    "unit": "kubelet.service",
    "restarts": True,
    "kubelet": "a-start",
    "had_health": True,
    "must_live": False,
    "reason": "",
    "changes": [],
    "afterwards": [],
    "record": None,
    "fallback": None,
}
RUNNING = {"flags": [["v", ["a-digest"]]], "providers": ["ecr"]}


@pytest.mark.parametrize("running", [{}, {"inForce": None}, {"inForce": RUNNING}])
def test_a_journal_of_an_earlier_version_is_read_and_written_with_its_keys(running):
    journal = Journal.from_dict({**OF_AN_EARLIER_VERSION, **running})
    assert (journal.restarts, journal.must_recover) == (True, False)
    assert journal.running == (RunningConfig((("v", ("a-digest",)),), ("ecr",)) if running.get("inForce") else None)
    assert journal.to_dict() == {**OF_AN_EARLIER_VERSION, "inForce": running.get("inForce")}


@pytest.mark.parametrize("name", ["journal", "record", "rejected"])
@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", '{"rejected": 1, "changes": 1}', '{"rejected": [{"a": 1}]}', "\xff"]
)
def test_a_file_that_no_version_wrote_is_named_with_a_remedy(tmp_path, name, content):
    state = InstallerFolder(HostFiles(str(tmp_path)))
    with state.locked():
        (tmp_path / FOLDER.lstrip("/") / f"{name}.json").write_text(content, encoding="latin-1")
    with pytest.raises(NodeConfigError, match=f"{name}.json is not what we wrote there") as raised:
        getattr(state, name)()
    assert raised.value.remedy.startswith("Look at the disk.")
