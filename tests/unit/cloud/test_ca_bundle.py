import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from acr_credential_provider.cloud.ca_bundle import find_ca_bundle, tls_context
from acr_credential_provider.model.errors import ConfigurationError


@pytest.fixture
def places(tmp_path):
    files = {}
    for name in ("configured", "environment", "distribution"):
        files[name] = str(tmp_path / name)
        (tmp_path / name).write_text("")
    return files


def test_the_settings_come_first_then_the_environment_then_the_distribution(places):
    environ = {"SSL_CERT_FILE": places["environment"]}
    known = ("/nowhere", places["distribution"])

    assert find_ca_bundle(places["configured"], environ=environ, known_places=known) == places["configured"]
    assert find_ca_bundle(None, environ=environ, known_places=known) == places["environment"]
    assert find_ca_bundle(None, environ={}, known_places=known) == places["distribution"]


def test_where_the_distribution_has_none_certifi_serves():
    certifi = pytest.importorskip("certifi")

    assert find_ca_bundle(None, environ={}, known_places=()) == certifi.where()


@pytest.mark.parametrize(("configured", "environ"), [("/nowhere", {}), (None, {"SSL_CERT_FILE": "/nowhere"})])
def test_a_named_bundle_that_is_not_there_is_an_error_and_never_replaced(configured, environ, places):
    with pytest.raises(ConfigurationError, match="/nowhere") as caught:
        find_ca_bundle(configured, environ=environ, known_places=(places["distribution"],))

    assert "ca-certificates" in caught.value.remedy


@pytest.mark.parametrize(
    "content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"]
)
def test_a_bundle_without_certificates_is_an_error(content, tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text(content)

    with pytest.raises(ConfigurationError, match=r"ca\.pem") as caught:
        tls_context(str(bundle))

    assert caught.value.__context__ is None


def test_verification_is_always_on(authority):
    import ssl

    context = tls_context(authority.bundle)

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


REPOSITORY = Path(__file__).resolve().parents[3]
NO_PROVIDER = "openssl_conf = a\n[a]\nproviders = b\n[b]\nfips = c\n[c]\nactivate = 1\n"
NO_PROTOCOL = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nMaxProtocol = TLSv1.1\n"
NO_CIPHER = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nCipherString = NULL\nCiphersuites =\n"


@pytest.mark.parametrize("call", ["acr", "personal", "sts"])
@pytest.mark.parametrize("config", [NO_PROVIDER, NO_PROTOCOL, NO_CIPHER], ids=["provider", "protocol", "cipher"])
def test_an_openssl_that_can_do_no_tls_is_named_as_such(tmp_path, config, call):
    """Not as an answer of the other side, which was never asked. A process of its own, for OpenSSL is set up once."""
    (tmp_path / "openssl.cnf").write_text(config)
    # The real aiohttp, which the frozen program does without, makes a TLS context when it is imported.
    shutil.copytree(REPOSITORY / "packaging/freeze/stubs/aiohttp", tmp_path / "aiohttp")
    shutil.copy(REPOSITORY / "packaging/freeze/stubs/left_out.py", tmp_path)
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("calling.py")), call],
        env={**os.environ, "PYTHONPATH": path, "OPENSSL_CONF": str(tmp_path / "openssl.cnf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OpenSSL has no usable protocol, cipher or digest" in ended.stdout, ended
    assert "openssl.cnf" in ended.stdout
