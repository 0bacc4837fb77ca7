import pytest
from acr_credential_provider.cloud.trust import find_ca_bundle, tls_context
from acr_credential_provider.errors import ConfigurationError


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
