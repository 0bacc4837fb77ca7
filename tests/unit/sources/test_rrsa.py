import pytest
from acr_credential_provider.model.errors import ConfigurationError, IdentityUnavailableError, RoleRefusedError
from acr_credential_provider.sources.rrsa import RrsaSource
from unit.cloud.safety import CANARY
from unit.sources.contract import SourceContract
from unit.sources.stage import PROVIDER, FakeCloud, find, token

ROLE = "acs:ram::1111:role/a"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "token"
    path.write_text(token(note=CANARY) + "\n")
    return path


def source(file, cloud=None, **changes):
    fields = {"role_arn": ROLE, "provider_arn": PROVIDER, "token_file": str(file), "environ": {}, **changes}
    return RrsaSource(cloud or FakeCloud(), **fields)


class TestRrsa(SourceContract):
    @pytest.fixture
    def working(self, file):
        return source(file)

    @pytest.fixture
    def failing(self, file, tmp_path):
        bad = {
            "empty": "",
            "binary": "\x00" * 9,
            "expired": token(life=-9),
            "huge": CANARY * 9999,
            "two": f"{token()} {token()}",
        }
        for name, text in bad.items():
            (tmp_path / name).write_text(text)
        return [
            *(source(tmp_path / name) for name in bad),
            source("/nowhere/token"),
            source(file, role_arn=""),
            source(file, provider_arn=""),
            source(file, role_arn="", environ={"ALIBABA_CLOUD_ROLE_ARN": CANARY}),
            source(file, provider_arn="acs:ram::1111:oidc-provider/ack-rrsa-cother"),
            source(file, environ={"ALIBABA_CLOUD_STS_ENDPOINT": f"https://{CANARY}@host"}),
            source(file, FakeCloud(RoleRefusedError("refused", remedy="trust it"))),
        ]


def test_the_environment_says_what_the_settings_leave_out(file):
    cloud = FakeCloud()
    environ = {
        "ALIBABA_CLOUD_ROLE_ARN": ROLE,
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": PROVIDER,
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(file),
        "ALIBABA_CLOUD_STS_ENDPOINT": "sts-vpc.cn-hangzhou.aliyuncs.com",
    }
    find(RrsaSource(cloud, environ=environ))
    assert cloud.endpoints == ["https://sts-vpc.cn-hangzhou.aliyuncs.com"]
    ((wanted, caller),) = cloud.service.asked
    assert (wanted.arn, wanted.session_name) == (ROLE, "acr-sa-team.app")
    assert caller == f"{PROVIDER} system:serviceaccount:team:app"


def test_the_settings_go_before_the_environment(file):
    cloud = FakeCloud()
    find(source(file, cloud, environ={"ALIBABA_CLOUD_ROLE_ARN": "acs:ram::2222:role/x"}))
    assert cloud.service.asked[0][0].arn == ROLE


def test_a_token_that_comes_later_or_is_renewed_is_seen(tmp_path):
    path = tmp_path / "later"
    waiting = source(path)
    with pytest.raises(IdentityUnavailableError, match="RRSA is not set up"):
        find(waiting)
    path.write_text(token())
    first = waiting.principal(None)
    path.write_text(token(jti="2"))
    assert waiting.principal(None) == first, "the same identity, whichever token shows it"
    path.write_text(token(name="other"))
    assert waiting.principal(None) != first


def test_a_token_that_others_could_replace_is_refused(file):
    file.chmod(0o666)
    with pytest.raises(IdentityUnavailableError, match="mode 0666"):
        find(source(file))
    file.chmod(0o640)
    assert find(source(file))


def test_an_endpoint_in_the_environment_is_a_host_and_never_plain_http(file):
    for odd in ("http://sts.aliyuncs.com", "sts.aliyuncs.com/path", "user@host", "a b"):
        with pytest.raises(ConfigurationError):
            find(source(file, environ={"ALIBABA_CLOUD_STS_ENDPOINT": odd}))
