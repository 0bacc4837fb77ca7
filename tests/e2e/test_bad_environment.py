"""What the environment, or a file that never answers, can do to a pull: at most an error within the deadline."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from conftest import write_settings
from e2e.assertions import DEADLINE, assert_answered, assert_no_token, assert_told, can_mount, image_of, mounted
from support import harness

needs_fuse = pytest.mark.skipif(
    not (can_mount() and os.path.exists("/dev/fuse")), reason="no file system that hangs can be mounted"
)
BAD_PROVIDER = """openssl_conf = init
[init]
providers = all
[all]
fips = one
[one]
activate = 1
"""
OLD_PROTOCOL = """openssl_conf = init
[init]
ssl_conf = all
[all]
system_default = default
[default]
MaxProtocol = TLSv1.1
"""


def environment(**more):
    return {**os.environ, **harness.HERE_ONLY, **more}


@pytest.fixture
def fifo(tmp_path):
    """A FIFO that nobody writes into."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("content", [BAD_PROVIDER, OLD_PROTOCOL, None], ids=["a provider", "a protocol", "a FIFO"])
def test_no_openssl_conf_of_the_environment_is_read(program, sandbox, tmp_path, content):
    path = tmp_path / "openssl.cnf"
    if content is None:
        os.mkfifo(path)
    else:
        path.write_text(content)
    ended = program.ask(image_of(sandbox), env=environment(OPENSSL_CONF=str(path)), timeout=40)
    assert_answered(ended, sandbox)
    assert ended.seconds < DEADLINE


@pytest.mark.skipif(not can_mount(), reason="no mount namespace to be had")
@pytest.mark.parametrize("content", [BAD_PROVIDER, OLD_PROTOCOL], ids=["a provider", "a protocol"])
def test_a_machine_whose_openssl_can_do_no_tls_is_told_so(program, sandbox, tmp_path, content):
    """The frozen program reads no openssl.cnf of the machine."""
    config = tmp_path / "openssl.cnf"
    config.write_text(content)
    ended = program.ask(image_of(sandbox), under=mounted(f"mount --bind {config} /etc/ssl/openssl.cnf"))
    if len(program.command) == 1:
        assert_answered(ended, sandbox)
    else:
        assert_told(ended, "this process's OpenSSL has no usable protocol, cipher or digest", "openssl.cnf")


def test_no_library_that_the_environment_names_is_loaded(program, sandbox, tmp_path):
    """A provider called default, in the folder that OPENSSL_MODULES names, made the only one by OPENSSL_CONF."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/evil.so").write_bytes(b"not even a library")
    config = tmp_path / "openssl.cnf"
    config.write_text(BAD_PROVIDER.replace("fips", "evil"))
    modules = str(tmp_path / "modules")
    variables = {"OPENSSL_CONF": str(config), "OPENSSL_MODULES": modules, "OPENSSL_ENGINES": modules}
    assert_answered(program.ask(image_of(sandbox), env=environment(**variables)), sandbox)


@pytest.mark.parametrize("variable", ["TZ", "TZDIR", "HOSTALIASES", "RESOLV_HOST_CONF", "NLSPATH", "LOCPATH"])
def test_no_other_file_that_a_variable_names_holds_a_pull(frozen, sandbox, fifo, variable):
    value = f"{':' if variable == 'TZ' else ''}{fifo}"
    for _ in ("miss", "hit"):
        ended = frozen.ask(image_of(sandbox), env=environment(**{variable: value}), timeout=40)
        assert_answered(ended, sandbox)
        assert ended.seconds < DEADLINE


def test_the_keys_of_tls_sessions_are_written_nowhere(program, sandbox, tmp_path):
    keys = tmp_path / "keys.log"
    ended = program.ask(image_of(sandbox), env=environment(SSLKEYLOGFILE=str(keys), QLOGDIR=str(tmp_path / "qlog")))
    assert_answered(ended, sandbox)
    assert not keys.exists()


def test_the_authorities_that_the_environment_names_are_still_the_ones_in_use(program, sandbox, tmp_path):
    settings = sandbox.settings()
    bundle = settings.pop("caBundle")
    write_settings(tmp_path, settings)
    assert_answered(program.ask(image_of(sandbox), env=environment(SSL_CERT_FILE=str(bundle))), sandbox)


def use_as_settings(program, _settings, fifo):
    return harness.Program(program.command, fifo, program.cache)


def use_as_ca_bundle(program, settings, fifo):
    settings["caBundle"] = str(fifo)
    write_settings(program.settings.parent, settings)
    return program


def use_as_secret(program, settings, fifo):
    settings["registries"][0]["identity"]["accessKeySecretFile"] = str(fifo)
    write_settings(program.settings.parent, settings)
    return program


@pytest.mark.parametrize("use", [use_as_settings, use_as_ca_bundle, use_as_secret], ids=lambda use: use.__name__)
def test_a_fifo_in_the_place_of_a_file_is_named_at_once(program, sandbox, fifo, use):
    ended = use(program, sandbox.settings(), fifo).ask(image_of(sandbox), timeout=40)
    assert_told(ended, str(fifo))


@pytest.mark.parametrize("content", [b"", b"not a certificate\n"], ids=["empty", "no certificate"])
def test_a_ca_bundle_without_certificates_is_named(program, sandbox, tmp_path, content):
    settings = sandbox.settings()
    settings["caBundle"] = str(tmp_path / "ca.pem")
    (tmp_path / "ca.pem").write_bytes(content)
    write_settings(tmp_path, settings)
    assert_told(program.ask(image_of(sandbox)), f"the CA bundle {tmp_path}/ca.pem holds no certificates", "caBundle")


def hung(folder):
    """Return words that run a command while what is below *folder* never answers."""
    script = Path(__file__).with_name("hung_mount.py")
    return ("unshare", "--mount", "--propagation=private", sys.executable, str(script), str(folder))


def ask_all(programs, sandbox, under):
    """Ask by all *programs* at the same time, since each takes its whole deadline."""
    ended = {}

    def ask(name, program):
        ended[name] = program.ask(image_of(sandbox), under=under, timeout=60)

    threads = [threading.Thread(target=ask, args=each) for each in programs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


@needs_fuse
def test_a_disk_that_hangs_holds_no_pull_past_its_deadline(program, sandbox, tmp_path):
    """An error that names the file, or, where the memo's own disk hangs, an end by the alarm that the kubelet tells."""
    folder = tmp_path / "hung"
    folder.mkdir()
    settings = sandbox.settings()
    documents = {}
    for name, change in {
        "ca bundle": lambda d: d.update(caBundle=f"{folder}/ca.pem"),
        "secret": lambda d: d["registries"][0]["identity"].update(accessKeySecretFile=f"{folder}/secret"),
    }.items():
        document = json.loads(json.dumps(settings))
        change(document)
        (tmp_path / name).mkdir()
        documents[name] = write_settings(tmp_path / name, document)
    programs = {
        "settings": harness.Program(program.command, folder / "settings.yaml", tmp_path / "cache of settings"),
        "cache": harness.Program(program.command, program.settings, folder / "cache"),
        **{
            name: harness.Program(program.command, path, tmp_path / f"cache of {name}")
            for name, path in documents.items()
        },
    }
    ended = ask_all(programs, sandbox, hung(folder))
    assert ended.pop("cache").code == 128 + signal.SIGALRM
    for name, each in ended.items():
        assert_told(each, within=DEADLINE + 2)
        if name == "settings":
            assert f"{folder}/settings.yaml" in each.stderr.decode()
            assert "disk" in each.stderr.decode()
    assert all(each.seconds < DEADLINE + 4 for each in ended.values())


@needs_fuse
def test_settings_on_a_disk_that_hangs_hold_no_hit_past_the_deadline(program, sandbox, tmp_path):
    folder = tmp_path / "late"
    folder.mkdir()
    late = harness.Program(program.command, write_settings(folder, sandbox.settings()), program.cache)
    assert_answered(late.ask(image_of(sandbox)), sandbox)
    ended = late.ask(image_of(sandbox), under=hung(folder), timeout=60)
    assert (ended.code, ended.stdout) == (128 + signal.SIGALRM, b"")
    assert ended.seconds < DEADLINE + 4


def test_what_is_asked_with_an_odd_environment_is_kept_where_it_belongs(program, sandbox, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ended = program.ask(image_of(sandbox), env=environment(SQLITE_TMPDIR=str(elsewhere), TMPDIR=str(elsewhere)))
    assert_answered(ended, sandbox)
    assert list(elsewhere.iterdir()) == []
    assert_no_token(elsewhere, sandbox)
