"""The way to a file that root reads, and files of the credentials folder, in stand-in folders."""

import os
import subprocess
import sys

import pytest
from acr_credential_provider.cloud.ca_bundle import find_ca_bundle
from acr_credential_provider.files.root_reading import check_before_reading
from acr_credential_provider.model.errors import ConfigurationError, IdentityUnavailableError
from acr_credential_provider.settings.loader import load
from acr_credential_provider.sources.secret_file import read_secret

USER = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to other users")


def as_a_mounted_secret(folder, **keys):
    """Lay *folder* out as the kubelet does: links to ..data, which is a link to a folder with a time for a name."""
    (folder / "..2026_12_01").mkdir(parents=True)
    (folder / "..data").symlink_to("..2026_12_01")
    for name, content in keys.items():
        (folder / "..2026_12_01" / name).write_text(content)
        (folder / name).symlink_to(f"..data/{name}")
    return folder


def as_the_agent_does(folder, **keys):
    """Make *folder* a link to one whose name has the digest of what is in it."""
    real = folder.parent / ".credentials-0123456789abcdef"
    real.mkdir(parents=True)
    for name, content in keys.items():
        (real / name).write_text(content)
    folder.symlink_to(real.name)
    return folder


@pytest.fixture(params=[as_a_mounted_secret, as_the_agent_does])
def folder(request, tmp_path):
    return request.param(tmp_path / "credentials", id="LTAIexample", secret="example")


def check(folder, name):
    check_before_reading(f"{folder}/{name}", folder=str(folder))


def test_a_file_of_the_folder_passes_as_the_agent_and_as_the_kubelet_put_it_there(folder):
    for name in ("id", "secret"):
        check(folder, name)


LEADING_OUT = {
    "an absolute symlink": lambda folder, other: (folder / "out").symlink_to(other),
    "an absolute symlink to a file of the folder": lambda folder, _: (folder / "out").symlink_to(folder / "id"),
    "a relative symlink": lambda folder, other: (folder / "out").symlink_to(f"../{other.name}"),
    "by way of another symlink": lambda folder, _: chain(folder),
    "a symlink to the folder and out": lambda folder, other: (folder / "out").symlink_to(f"./../{other.name}"),
}


def chain(folder):
    (folder / "up").symlink_to("..")
    (folder / "out").symlink_to("up/other")


@pytest.mark.parametrize("way", LEADING_OUT)
def test_a_symlink_that_leads_out_of_the_folder_is_refused(folder, way):
    other = folder.parent / "other"
    other.write_text("root's")
    LEADING_OUT[way](folder, other)
    with pytest.raises(ConfigurationError, match="leads out of the credentials folder"):
        check(folder, "out")


@pytest.mark.parametrize("name", ["../other", "./../other", "../credentials/id", "/../other"])
def test_a_path_that_leaves_the_folder_is_refused(folder, name):
    (folder.parent / "other").write_text("root's")
    with pytest.raises(ConfigurationError, match="leads out"):
        check(folder, name)


def test_what_is_absent_is_for_the_reader_to_say(folder):
    check(folder, "absent")
    (folder / "dangling").symlink_to("..data/none")
    check(folder, "dangling")
    check_before_reading(f"{folder}s/absent", folder=str(folder))


def test_a_loop_ends(folder):
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    check(folder, "a")


def test_a_name_that_begins_as_the_folders_is_not_in_it(folder):
    beside = folder.parent / "credentials-of-others"
    beside.mkdir()
    (beside / "id").symlink_to(folder / "id")
    check_before_reading(f"{beside}/id", folder=str(folder))


# The way to a file, for root.
def give(path):
    os.lchown(path, USER, USER)


SPOILED = {
    "the folder is a user's": lambda folder, _: give(folder),
    "a folder above is a user's": lambda folder, _: give(folder.parent),
    "all may write the folder": lambda folder, _: folder.chmod(0o777),
    "a group may write the folder": lambda folder, _: folder.chmod(0o770),
    "a symlink is a user's": lambda _, file: by_a_link(file, give),
    "the folder that a symlink leads to is a user's": lambda _, file: by_a_link(file, lambda link: give(moved(link))),
}


def by_a_link(file, then):
    target = file.parent / "behind" / "real"
    target.parent.mkdir()
    file.rename(target)
    file.symlink_to("behind/real")
    then(file)


def moved(link):
    return (link.parent / os.readlink(link)).parent


SETTINGS = """\
apiVersion: aliyun-acr-credential-provider/v1
kind: ProviderSettings
registries: [{instanceId: cri-a, identity: {kind: nodeRole}}]
"""
READERS = {
    "settings": (lambda path: load(path).registries, ConfigurationError),
    "key": (lambda path: read_secret(path, what="the key"), IdentityUnavailableError),
    "caBundle": (lambda path: find_ca_bundle(path, environ={}), ConfigurationError),
    "SSL_CERT_FILE": (lambda path: find_ca_bundle(None, environ={"SSL_CERT_FILE": path}), ConfigurationError),
}


@pytest.fixture
def file(tmp_path):
    folder = tmp_path / "above" / "folder"
    folder.mkdir(parents=True, mode=0o755)
    for each in (folder, folder.parent):
        each.chmod(0o755)
    file = folder / "file"
    file.write_text(SETTINGS)
    file.chmod(0o600)
    return file


@needs_root
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("spoiled", SPOILED)
def test_root_reads_nothing_by_a_way_that_others_can_change(file, reader, spoiled):
    read, error = READERS[reader]
    assert read(str(file))
    SPOILED[spoiled](file.parent, file)
    with pytest.raises(error) as refused:
        read(str(file))
    assert "others than root can change" in refused.value.problem
    assert "chmod" not in refused.value.remedy, "the folder may be shared"
    assert "Move the file" in refused.value.remedy


@needs_root
@pytest.mark.parametrize("name", ["caBundle", "SSL_CERT_FILE"])
@pytest.mark.parametrize("spoil", [give, lambda file: file.chmod(0o666), lambda file: file.chmod(0o660)])
def test_certificates_that_others_can_change_are_not_trusted_by_root(file, name, spoil):
    read, error = READERS[name]
    spoil(file)
    with pytest.raises(error, match="others than root can change") as refused:
        read(str(file))
    assert "chmod" not in refused.value.remedy
    assert "folder that only root can change" in refused.value.remedy


@needs_root
def test_a_sticky_folder_is_no_obstacle(file):
    file.parent.chmod(0o1777)
    for read, _ in READERS.values():
        assert read(str(file))


AS_USER = f"""\
import os
from acr_credential_provider.files.root_reading import check_before_reading
os.setresuid({USER}, {USER}, {USER})
check_before_reading("./above/folder/file")
"""


@needs_root
def test_a_user_reads_own_files_by_own_folders(file, tmp_path):
    for path in (file, file.parent, file.parent.parent, tmp_path):
        give(path)
    assert subprocess.run([sys.executable, "-c", AS_USER], cwd=tmp_path, check=False).returncode == 0
