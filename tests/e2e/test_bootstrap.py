"""The script for images, cloud-init and ACK, run for real by root: each shell, a file and loopback HTTP.

It sees this machine's programs, and folders /etc and /var/tmp that are its own for as long as it runs.
"""

import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
import yaml
from acr_credential_provider.kubelet.config_validation import problems
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG
from acr_node_config.model.environment_file import EnvironmentFile
from support.harness import FROZEN

SCRIPT = Path(__file__).resolve().parents[2] / "node-config/bootstrap/bootstrap.sh"
NAME = "aliyun-acr-credential-provider"
ACK_FILE = "/etc/kubernetes/kubelet-customized-args.conf"
WAYS = {
    "image": "bake",
    "cloud-init": "bake",
    "ack-custom-data": "bake --profile ack",
    "ack-user-data": "install --profile ack",
    "running": "install",
}
SHELLS = [shell for shell in (["/bin/sh"], ["busybox", "sh"], ["bash", "--posix"]) if shutil.which(shell[0])]
PROGRAM = f"""#!/bin/sh
echo "$@" > "$RESULT"
umask >> "$RESULT"
echo 'KUBELET_CUSTOMIZED_ARGS="--of-the-program"' > {ACK_FILE}
exit "${{CODE:-0}}"
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it changes a node, so root alone may run it")


def archive(folder, *, name=NAME, program=PROGRAM):
    """Write an archive as a release's, with *program* in it; return its path and checksum."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, mode, content in ((name, 0o755, None), (f"{name}/{name}", 0o755, program.encode())):
            member = tarfile.TarInfo(path)
            member.mode, member.uid, member.gid = mode, 1234, 1234
            if content is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(content)
            tar.addfile(member, None if content is None else io.BytesIO(content))
    path = folder / "archive.tar.gz"
    path.write_bytes(packed.getvalue())
    return str(path), hashlib.sha256(packed.getvalue()).hexdigest()


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the script and tells how it ended, what it ran, and what it left behind."""

    def run(*, shell=("/bin/sh",), setup="", then="", **variables):
        result, left, conf = (tmp_path / each for each in ("result", "left", "conf"))
        for each in (result, left, conf):
            each.unlink(missing_ok=True)
        own = f"""
            mount -t tmpfs own /var/tmp && mount -t tmpfs -o mode=755 own /etc && mkdir /etc/kubernetes || exit 99
            echo "hosts: files" > /etc/nsswitch.conf
            {setup}
            "$@"; code=$?
            ls -A /var/tmp /var/lib /opt | grep -E '^{NAME}[.].{{6}}$' > "{left}"
            cat {ACK_FILE} > "{conf}" 2>/dev/null
            {then}
            exit $code
        """
        ran = subprocess.run(
            [
                shutil.which("unshare"),
                "--mount",
                "--propagation",
                "private",
                "/bin/sh",
                "-c",
                own,
                "sh",
                *shell,
                str(SCRIPT),
            ],
            env={"PATH": os.environ["PATH"], "RESULT": str(result), **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert left.read_text() == "", "it left something behind"
        words = result.read_text().splitlines() if result.exists() else []
        return ran, words, conf.read_text()

    return run


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize("way", WAYS)
def test_each_way_runs_the_program_of_the_archive(run, tmp_path, way, shell):
    path, digest = archive(tmp_path)
    ran, (words, umask), conf = run(shell=shell, WAY=way, ARCHIVE=path, SHA256=digest, SETTINGS="/s.yaml")
    assert ran.returncode == 0, ran.stderr
    verb, *options = WAYS[way].split()
    before, bundle, *after = words.split(" --bundle ")[0], words.split(" --bundle ")[1].split()[0], *words.split()[4:]
    assert before == f"node {verb}"
    assert bundle.startswith(f"/var/tmp/{NAME}.")
    assert after == ["--settings", "/s.yaml", *options]
    assert umask == "0022"
    assert conf == 'KUBELET_CUSTOMIZED_ARGS="--of-the-program"\n'


def test_more_options_are_handed_on(run, tmp_path):
    path, digest = archive(tmp_path)
    _, (words, _), _ = run(WAY="image", ARCHIVE=path, SHA256=digest, OPTIONS="--profile kubeadm-rpm --mode patch")
    assert words.endswith("--profile kubeadm-rpm --mode patch")
    assert "--settings" not in words


@pytest.fixture
def server(tmp_path):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words):
            super().__init__(*words, directory=str(tmp_path))

        def log_message(self, *_words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


TOOLS = ("sh", "id", "grep", "mktemp", "chmod", "rm", "mkdir", "sha256sum", "cp", "cat", "tar", "gzip", "timeout")
CLIENTS = [client for client in ("curl", "wget", "busybox") if shutil.which(client)]


@pytest.mark.parametrize("client", CLIENTS)
def test_an_archive_is_fetched_with_what_is_there(run, server, tmp_path, client):
    _, digest = archive(tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    # A folder with the one client and none of the others.
    for name in (*TOOLS, "ls", "mount"):
        (tools / name).symlink_to(shutil.which(name))
    (tools / ("wget" if client == "busybox" else client)).symlink_to(shutil.which(client))
    url = f"{server}/archive.tar.gz?signature=s3cret"
    ran, words, _ = run(WAY="image", ARCHIVE=url, SHA256=digest, PATH=str(tools))
    assert ran.returncode == 0, ran.stderr
    assert words


@pytest.mark.parametrize("client", CLIENTS[:1])
def test_an_address_that_is_a_secret_is_in_no_message(run, server, client):
    ran, words, _ = run(WAY="image", ARCHIVE=f"{server}/none?signature=s3cret", SHA256="0" * 64)
    assert (ran.returncode, words) == (1, [])
    assert "could not be fetched" in ran.stderr
    assert "s3cret" not in ran.stdout + ran.stderr


BAD = {
    "no way": ({"WAY": ""}, "WAY is none of"),
    "an unknown way": ({"WAY": "else"}, "WAY is none of"),
    "no archive": ({"ARCHIVE": ""}, "ARCHIVE is empty"),
    "a relative path": ({"ARCHIVE": "archive.tar.gz"}, "neither a URL nor"),
    "a space": ({"ARCHIVE": "/a b"}, "a space"),
    "a quote": ({"ARCHIVE": 'https://x/"'}, "a quote"),
    "a path that is not there": ({"ARCHIVE": "/none"}, "cannot be read"),
    "no checksum": ({"SHA256": ""}, "SHA256 is not"),
    "a short checksum": ({"SHA256": "0" * 63}, "SHA256 is not"),
    "the checksum of another": ({"SHA256": "0" * 64}, "not the one that SHA256 is of"),
}


@pytest.mark.parametrize(("variables", "words"), BAD.values(), ids=BAD)
def test_nothing_is_run_that_was_not_checked(run, tmp_path, variables, words):
    path, digest = archive(tmp_path)
    ran, ran_words, _ = run(**{"WAY": "image", "ARCHIVE": path, "SHA256": digest, **variables})
    assert (ran.returncode, ran_words) == (1, [])
    error, remedy = (line for line in ran.stderr.splitlines() if line.startswith(("error:", "remedy:")))
    assert words in error
    assert remedy


def test_an_archive_of_something_else_is_refused(run, tmp_path):
    path, digest = archive(tmp_path, name="other")
    ran, words, _ = run(WAY="image", ARCHIVE=path, SHA256=digest)
    assert (ran.returncode, words) == (1, [])
    assert f"has no {NAME}" in ran.stderr


def test_what_the_program_says_of_its_end_is_handed_on(run, tmp_path):
    path, digest = archive(tmp_path)
    ran, words, _ = run(WAY="running", ARCHIVE=path, SHA256=digest, CODE="3")
    assert ran.returncode == 3
    assert words


def test_where_nothing_may_run_from_var_tmp_another_folder_is_taken(run, tmp_path):
    path, digest = archive(tmp_path)
    setup = "mount -o remount,noexec /var/tmp; mount -t tmpfs own /var/lib"
    ran, (words, _), _ = run(setup=setup, WAY="image", ARCHIVE=path, SHA256=digest)
    assert ran.returncode == 0, ran.stderr
    assert f"--bundle /var/lib/{NAME}." in words


def test_a_node_of_ack_that_got_no_file_gets_none_from_the_script(run, tmp_path):
    path, digest = archive(tmp_path, program='#!/bin/sh\necho "$@" > "$RESULT"\n')
    ran, words, conf = run(WAY="ack-custom-data", ARCHIVE=path, SHA256=digest)
    assert (ran.returncode, conf) == (0, "")
    assert words


@pytest.fixture
def bake(run, tmp_path):
    """Return a function that bakes a real release twice, and returns what it left the first time."""
    assert FROZEN.exists(), "run `make freeze` first: what is shipped is what is tested"
    release = tmp_path / "archive.tar.gz"
    with tarfile.open(release, "w:gz", compresslevel=1) as tar:
        tar.add(FROZEN.parent, NAME)
    settings = tmp_path / "settings.yaml"
    registry = {"instanceId": "cri-1", "domains": ["images.example.com"], "identity": {"kind": "nodeRole"}}
    document = {"apiVersion": "aliyun-acr-credential-provider/v1", "kind": "ProviderSettings", "registries": [registry]}
    settings.write_text(json.dumps(document))
    settings.chmod(0o600)
    seen = tmp_path / "seen"
    tree = "find /etc /opt /var/lib -printf '%m %U %l %p\\n' | sort"

    def bake(setup, bin_dir, **variables):
        ran, _, _ = run(
            setup=f"for each in /opt /var/lib /var/cache; do mount -t tmpfs -o mode=755 own $each; done; {setup}",
            then=f"""
                mkdir {seen}; cp -a --parents /etc {bin_dir} {seen}/
                cp -a {bin_dir}/../config.yaml {seen}/etc/ 2>/dev/null
                find /etc /opt /var/lib ! -type l -perm /022 > {seen}/loose
                {tree} > {seen}/first; {{ "$@" && {tree} > {seen}/second; }} || code=98
                {bin_dir}/{NAME} --version > {seen}/version || code=97
            """,
            ARCHIVE=str(release),
            SHA256=hashlib.sha256(release.read_bytes()).hexdigest(),
            SETTINGS=str(settings),
            **variables,
        )
        assert ran.returncode == 0, ran.stderr + ran.stdout
        assert (seen / "version").read_text().startswith(NAME)
        assert (seen / "loose").read_text() == ""
        assert (seen / "second").read_text() == (seen / "first").read_text(), "a second time changes nothing"
        assert f"600 0  /etc/{NAME}/settings.yaml\n" in (seen / "first").read_text()
        return seen

    return bake


def check_config(seen, config, bin_dir):
    """Assert that a kubelet takes the file *config* with the programs in *bin_dir*."""
    programs = [each.name for each in (seen / bin_dir.lstrip("/")).iterdir() if os.access(each, os.X_OK)]
    data = (seen / config.lstrip("/")).read_bytes()
    assert yaml.safe_load(data)["providers"][0]["matchImages"] == ["images.example.com"]
    assert not problems({"config": data}, (1, 30), is_directory=False, executables=programs)


def flags_in(seen, file, variable, bin_dir):
    """Return the flags that *variable* of the environment file gives the kubelet."""
    words = EnvironmentFile.parse((seen / file.lstrip("/")).read_bytes()).value(variable).split()
    given = dict(each.removeprefix("--").split("=", 1) for each in words)
    assert given[BIN_DIR_FLAG] == bin_dir
    check_config(seen, given[CONFIG_FLAG], bin_dir)
    return given


def test_a_release_is_baked_for_real_beside_an_operators_flags(bake):
    seen = bake(
        "mkdir /etc/default; echo KUBELET_EXTRA_ARGS=--v=2 > /etc/default/kubelet",
        f"/opt/{NAME}/bin",
        WAY="cloud-init",
        OPTIONS="--profile kubeadm-deb",
    )
    assert flags_in(seen, "/etc/default/kubelet", "KUBELET_EXTRA_ARGS", f"/opt/{NAME}/bin")["v"] == "2"


@pytest.mark.parametrize("name", ["k3s", "rke2"])
def test_an_image_is_baked_for_real_before_the_first_start(bake, name):
    bin_dir = "/var/lib/rancher/credentialprovider/bin"
    seen = bake("", bin_dir, WAY="image", OPTIONS=f"--profile {name}")
    check_config(seen, "/etc/config.yaml", bin_dir)


def test_where_only_etc_and_var_can_be_written_as_on_container_os_all_goes_there(bake):
    seen = bake("mount -o remount,ro /opt", f"/var/lib/{NAME}/bin", WAY="ack-custom-data")
    flags_in(seen, ACK_FILE, "KUBELET_CUSTOMIZED_ARGS", f"/var/lib/{NAME}/bin")


def test_ack_finds_its_redirection_word_for_word():
    assert "> /etc/kubernetes/kubelet-customized-args.conf\n" in SCRIPT.read_text()


def test_it_is_clean_posix_sh():
    checker = Path(sys.executable).parent / "shellcheck"
    ran = subprocess.run([checker, "--shell=sh", SCRIPT], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
