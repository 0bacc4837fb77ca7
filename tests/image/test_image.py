"""The container image, as `make image` left it in dist/: pushed, pulled, unpacked and run without Docker."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "aliyun-acr-credential-provider"
COMPRESSED = 60e6
ON_DISK = 80e6
PASSWORD = "only-for-this-test"
# What `htpasswd -B` makes of it for the user "tester".
HTPASSWD = "tester:$2b$05$abcdefghijklmnopqrstuuoePaFlY1zibzb/JZlPqaHpsMO1NwAhi\n"


@pytest.fixture(scope="module")
def archive():
    found = list((ROOT / "dist").glob("*.oci.tar"))
    assert len(found) == 1, "run `make image`"
    return found[0]


@pytest.fixture(scope="module")
def layout(archive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout")
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "tar_filter", None)  # not in every Python 3.11
        tar.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def tag(layout):
    index = json.loads((layout / "index.json").read_text())
    return index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]


@pytest.fixture(scope="module")
def bundle(layout, tag, tmp_path_factory):
    """The image unpacked as a runtime does."""
    # umoci knows images, not the index of several architectures.
    single = tmp_path_factory.mktemp("single")
    run("skopeo", "copy", f"oci:{layout}:{tag}", f"oci:{single}:it")
    target = tmp_path_factory.mktemp("unpacked") / "bundle"
    run("umoci", "unpack", "--image", f"{single}:it", str(target))
    return target


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def blobs(layout):
    return {path.name: path for path in (layout / "blobs/sha256").iterdir()}


def configs(layout):
    for path in blobs(layout).values():
        with contextlib.suppress(ValueError):
            document = json.loads(path.read_bytes())
            if "rootfs" in document:
                yield document


def test_every_blob_is_what_its_name_says(layout):
    found = blobs(layout)
    assert len(found) >= 4
    for name, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == name


def test_it_is_small(layout, bundle):
    assert sum(path.stat().st_size for path in blobs(layout).values()) < COMPRESSED
    files = {path.stat().st_ino: path.stat().st_size for path in (bundle / "rootfs").rglob("*") if path.is_file()}
    assert sum(files.values()) < ON_DISK


def test_it_holds_the_bundles_and_nothing_else(bundle):
    top = sorted(path.name for path in (bundle / "rootfs").iterdir())
    assert top == [NAME, "controller"]
    shells = [path for path in (bundle / "rootfs").rglob("*") if path.name in ("sh", "bash", "busybox", "ash", "dash")]
    assert shells == []


def test_nobody_but_root_may_change_what_is_in_it(bundle):
    for path in (bundle / "rootfs").rglob("*"):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (0, 0), path
        assert path.is_symlink() or not status.st_mode & 0o6022, path


def test_it_says_what_it_is_and_runs_as_nobody(layout, tag):
    found = list(configs(layout))
    assert found
    for each in found:
        assert each["config"]["User"] == "65532:65532"
        assert each["config"]["Entrypoint"] == [f"/{NAME}/{NAME}"]
        labels = each["config"]["Labels"]
        assert labels["org.opencontainers.image.version"] == tag
        assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_its_bundle_is_the_one_that_was_tested(bundle):
    for name in (NAME, "controller"):
        shipped, tested = bundle / "rootfs" / name, ROOT / "build/dist" / name
        names = sorted(str(path.relative_to(tested)) for path in tested.rglob("*") if path.is_file())
        assert names == sorted(str(path.relative_to(shipped)) for path in shipped.rglob("*") if path.is_file())
        assert all((shipped / each).read_bytes() == (tested / each).read_bytes() for each in names)


@pytest.fixture
def registry(tmp_path):
    """docker-registry on loopback with a password; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    config = tmp_path / "registry.json"
    config.write_text(
        json.dumps(
            {
                "version": "0.1",
                "storage": {"filesystem": {"rootdirectory": str(tmp_path / "storage")}},
                "http": {"addr": address},
                "auth": {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}},
            }
        )
    )
    environment = {"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log, env=environment) as process,
    ):
        try:
            end = time.monotonic() + 20
            while process.poll() is None and time.monotonic() < end:
                with contextlib.suppress(OSError), socket.create_connection(address.split(":"), timeout=1):
                    break
                time.sleep(0.05)
            assert process.poll() is None, (tmp_path / "log").read_text()
            yield address
        finally:
            process.terminate()


def test_a_registry_that_wants_a_password_takes_it_and_gives_it_back_the_same(registry, layout, tag, tmp_path):
    auth = tmp_path / "auth.json"
    log_in = ["skopeo", "login", "--tls-verify=false", f"--authfile={auth}", "--username=tester", "--password-stdin"]
    run(*log_in, registry, input=PASSWORD)
    there = f"docker://{registry}/tools/acr:{tag}"
    run("skopeo", "copy", "--all", f"--dest-authfile={auth}", "--dest-tls-verify=false", f"oci:{layout}:{tag}", there)
    back = tmp_path / "back"
    run("skopeo", "copy", "--all", f"--src-authfile={auth}", "--src-tls-verify=false", there, f"oci:{back}:{tag}")
    assert set(blobs(back)) == set(blobs(layout))
    refused = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", there], capture_output=True, check=False, env={"PATH": "/usr/bin"}
    )
    assert refused.returncode != 0


def contained(bundle, tmp_path, *words, stdin=b"", user=65532):
    """Run *words* in the image by runc, as a Pod of the chart does: read-only, no rights, no network."""
    folder = tmp_path / f"run-{time.monotonic_ns()}"
    shutil.copytree(bundle, folder, symlinks=True, copy_function=os.link)
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(terminal=False, args=list(words), noNewPrivileges=True, user={"uid": user, "gid": user})
    config["process"]["capabilities"] = {kind: [] for kind in ("bounding", "effective", "permitted", "ambient")}
    config["root"]["readonly"] = True
    config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "user"]
    config["linux"].pop("uidMappings", None)
    config["linux"].pop("gidMappings", None)
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    name = f"acr-image-{os.getpid()}-{time.monotonic_ns()}"
    state = tmp_path / "runc"
    return subprocess.run(
        ["runc", "--root", state, "run", "--no-new-keyring", "--bundle", folder, name],
        input=stdin, capture_output=True, check=False, timeout=120,
    )  # fmt: skip


def test_both_programs_run_in_it_as_nobody_on_a_root_that_cannot_be_written(bundle, tmp_path, tag):
    for program in (f"/{NAME}/{NAME}", f"/controller/{NAME}"):
        done = contained(bundle, tmp_path, program, "--version")
        assert done.returncode == 0, done.stderr
        assert tag in done.stdout.decode()


def test_the_controllers_commands_are_there(bundle, tmp_path):
    done = contained(bundle, tmp_path, f"/controller/{NAME}", "pull-secrets", "run", "--help")
    assert done.returncode == 0, done.stderr
    assert b"--take-over" in done.stdout


def test_the_agents_commands_are_there(bundle, tmp_path):
    for words in (["agent", "--help"], ["reporter", "--help"], ["install", "--help"]):
        done = contained(bundle, tmp_path, f"/{NAME}/{NAME}", "node", *words)
        assert done.returncode == 0, done.stderr
        assert b"usage:" in done.stdout
