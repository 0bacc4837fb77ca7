"""A remedy is followed to the letter, by root: none breaks a node, and none has a command made of names of others."""

import re
from pathlib import Path

import pytest
from acr_credential_provider.fastpath.lookup import CACHE, SETTINGS
from acr_credential_provider.files.trusted_files import UntrustedFileError
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.model.own_places import is_ours
from acr_credential_provider.settings import loader
from acr_credential_provider.sources.secret_file import read_word
from acr_node_config.commands.install_inputs import settings_at
from acr_node_config.hostfs.safe_path import own_folder

from generate.error_reference import REPOSITORY, Reader, read

CHANGES = re.compile(
    r"\b(chmod|chown|chgrp|chattr|setfacl|rm|rmdir|mv|cp|dd|ln|mkfs\w*|mount [-/]|umount|kill|pkill|killall|sysctl|"
    r"setenforce|iptables -|nft add|truncate|shred|reboot|shutdown|mkdir|tee|sed|install -|restorecon|"
    r"systemctl (?:stop|disable|mask|kill|isolate)|kubectl (?:delete|drain|cordon|taint|replace|apply|patch|edit)|"
    r"docker (?:rm|rmi|system)|crictl rm\w*)\b"
)
"""Commands that change a machine or a cluster."""
ALLOWED = {
    "Run: chown root:root PATH; chmod 0600 PATH": "PATH is below a folder of ours: `own_places.is_ours`",
    "rmdir": "it removes an empty folder only",
}
TAKES_AWAY = re.compile(r"\b(remove|delete)\b (it|that|them|the (file|folder)|PATH|FOLDER|NAME)\b", re.IGNORECASE)
REVIEWED = {
    "Compare the kubelet's files with what they should be, then remove that file.": "a journal of ours",
    "if it is empty, remove it (rmdir)": "an empty folder only",
    "Correct its spelling or remove it": "a field of the settings",
    "Remove it, or the namespaces.": "a field of the settings",
    "Set it to a host such as sts-vpc.cn-hangzhou.aliyuncs.com, or remove it.": "a field of the settings",
    "Remove it: systemd does not read the file.": "a drop-in that has no effect, in the kubelet's own folder",
}
"""What remedies let an operator take away, and why that harms nothing."""


def remedies():
    modules = read(REPOSITORY)
    reader = Reader(modules)
    found = {}
    for module in modules:
        for _, remedy in (*reader.pairs(module), *reader.refusals(module)):
            found[" ".join(remedy.split())] = module.path
    return found


REMEDIES = remedies()


def is_allowed(text, table):
    return any(known in text for known in table)


def test_there_are_remedies_to_judge():
    """The reader of the sources finds them."""
    assert len(REMEDIES) > 300
    assert [each for each in REMEDIES if "chown" in each]


def test_no_remedy_names_a_command_that_changes_what_is_not_ours():
    """Neither a mode of /tmp nor a process of others: a remedy names another place."""
    assert [each for each in REMEDIES if CHANGES.search(each) and not is_allowed(each, ALLOWED)] == []
    assert [each for each in ALLOWED if not is_allowed(" ".join(REMEDIES), [each])] == []


def test_what_a_remedy_takes_away_was_reviewed():
    """Each file or field that an operator is to remove is one of ours, or without effect."""
    assert [each for each in REMEDIES if TAKES_AWAY.search(each) and not is_allowed(each, REVIEWED)] == []


def test_no_document_advises_to_change_the_mode_of_a_folder_of_others():
    """The documents for operators neither."""
    lines = [
        (path.name, line)
        for path in (*(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "README.md")
        if path.name != "remedies.md" and path.parent.name != "decisions"  # those tell of the code
        for line in path.read_text().splitlines()
        if re.search(r"\b(chmod|chown|setfacl) [-+=\w:]+ ", line)
    ]
    assert [(name, line) for name, line in lines if "aliyun-acr-credential-provider" not in line] == []


@pytest.mark.parametrize(
    "path",
    [
        "/tmp",
        "/etc/passwd",
        "/",
        "/etc/aliyun-acr-credential-provider",
        "/etc/aliyun-acr-credential-provider/",
        "/etc/aliyun-acr-credential-provider/../passwd",
        "/etc/aliyun-acr-credential-provider//x/../../passwd",
        "/etc/aliyun-acr-credential-provider-of-others/settings.yaml",
        "/etc/aliyun-acr-credential-provider/x; reboot",
        "/etc/aliyun-acr-credential-provider/$(reboot)",
        "/etc/aliyun-acr-credential-provider/x\nreboot",
        "/root/.ssh/id_rsa",
        "etc/aliyun-acr-credential-provider/settings.yaml",
        "",
    ],
)
def test_what_is_not_ours_is_not_taken_for_ours(path):
    """Nothing above our folders, nothing that leads out of them, and no name that is a command."""
    assert not is_ours(path)


def test_our_own_files_are_ours():
    """So that the one useful command is still named."""
    assert is_ours(SETTINGS)
    assert is_ours(f"{CACHE}/memo/x.memo")


def shared(folder: Path) -> Path:
    """A folder like /tmp, with a file in it that others can write."""
    folder.chmod(0o1777)
    file = folder / "shared"
    file.write_text("x")
    file.chmod(0o666)
    return file


RAISES = {
    "settings": lambda file: loader.read(str(file)),
    "settings for the installer": lambda file: settings_at(str(file)),
    "a key": lambda file: read_word(str(file), what="an AccessKey secret"),
    "a place to install": lambda file: own_folder("/", str(file.parent)),
    "a program": lambda file: (_ for _ in ()).throw(UntrustedFileError(str(file.parent))),
}


@pytest.mark.parametrize("kind", RAISES)
def test_a_shared_place_is_left_as_it_is(tmp_path, kind):
    """The error names the place, and the remedy another one."""
    file = shared(tmp_path)
    with pytest.raises(CredentialProviderError) as caught:
        RAISES[kind](file)
    assert not CHANGES.search(caught.value.remedy)
    assert re.search(r"root alone|of root's", caught.value.remedy)
