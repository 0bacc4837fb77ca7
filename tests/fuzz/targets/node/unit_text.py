"""Unit files and drop-ins, divided by NUL bytes: parsed in any case, and so is what `systemctl cat` shows of them."""

from acr_node_config.discovery import unit_files
from acr_node_config.model.facts import KubeletUnit

NAMES = ("kubelet.service", "kubelet@a-b.service", "a\\x2db@.service", "")


def fuzz(data):
    for name in NAMES:
        text = unit_files.parse(data.split(b"\0"), name)
        values = (text.command, text.environment, text.passed, text.unset)
        assert all(isinstance(word, str) for words in values for word in words)
        assert all(path.startswith(("/", "%")) for path, _ in text.files)
        unit = KubeletUnit(name, text.command, dict(pair.split("=", 1) for pair in text.environment))
        assert all(isinstance(word, str) for word in unit.words())
    unit_files.parse(unit_files.parted(data.decode("utf-8", "surrogateescape")), NAMES[0])
