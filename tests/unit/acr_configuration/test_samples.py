"""The documented samples, as pages show them and people paste them: what each one means, or what is wrong with it."""

from pathlib import Path

import pytest
from acr_credential_provider.acr_configuration import convert, is_one
from acr_credential_provider.settings import ProviderSettings
from support.judged import validate, validate_conversion

SAMPLES = Path(__file__).parent / "samples"
PLACEHOLDER = "still holds the placeholder of a sample"
INFO = "acr-registry-info"
OWN_REGION = {}
BEIJING, HANGZHOU = {"region": "cn-beijing"}, {"region": "cn-hangzhou"}

# sample -> the registries it becomes (all Personal Edition as the node's role), its placeholders by line and field,
# and what was read otherwise than it is written
MEANINGS = {
    "01-two-regions-of-one-id": ([], [(7, f"{INFO}[0].instanceId"), (9, f"{INFO}[1].instanceId")], []),
    "02-personal-with-comment": ([], [(8, f"{INFO}[0].regionId")], []),
    "03-rrsa-as-text": (
        [],
        [
            (7, f"{INFO}[0].instanceId"),
            (10, f"{INFO}[0].rrsaRoleARN"),
            (11, f"{INFO}[0].rrsaOIDCProviderRoleARN"),
            (12, f"{INFO}[0].assumeRoleARN"),
        ],
        [],
    ),
    "04-personal-cross-account": ([], [(10, f"{INFO}[0].assumeRoleARN")], ["line 5: a space was added"]),
    "05-access-key-with-slashes": (
        [],
        [(8, f"{INFO}[0].customAccessKey"), (9, f"{INFO}[0].customAccessKeySecret")],
        ["line 5: a space was added", "line 8: a // comment was left out: YAML's sign is # (2 lines)"],
    ),
    "06-webhook-alone": ([OWN_REGION], [], ["line 1: acr-registry-info is empty"]),
    "07-no-space-after-colons": (
        [],
        [(7, f"{INFO}[0].instanceId")],
        ["line 5: a space was added after the colon (2 lines)"],
    ),
    "08-two-regions-no-space": (
        [],
        [(7, f"{INFO}[0].instanceId"), (9, f"{INFO}[1].instanceId")],
        ["line 5: a space was added"],
    ),
    "09-rrsa-as-native-map": (
        [],
        [
            (7, f"{INFO}[0].instanceId"),
            (10, f"{INFO}[0].rrsaRoleARN"),
            (11, f"{INFO}[0].rrsaOIDCProviderRoleARN"),
            (12, f"{INFO}[0].assumeRoleARN"),
        ],
        [],
    ),
    "10-personal-cross-account-no-space": ([], [(10, f"{INFO}[0].assumeRoleARN")], ["line 5: a space was added"]),
    "11-access-key-slashes-no-space": (
        [],
        [(8, f"{INFO}[0].customAccessKey"), (9, f"{INFO}[0].customAccessKeySecret")],
        ["line 5: a space was added", "line 8: a // comment was left out: YAML's sign is # (2 lines)"],
    ),
    "12-personal-in-transition": ([], [(8, f"{INFO}[0].regionId")], ["line 5: a space was added"]),
    "13-webhook-alone-again": ([OWN_REGION], [], ["line 1: acr-registry-info is empty"]),
    "14-manifest-with-nbsp-enterprise": (
        [],
        [(5, f"{INFO}[0].instanceId")],
        ["line 1: non-breaking spaces were read as spaces (12 lines)"],
    ),
    "15-manifest-with-nbsp-personal": (
        [HANGZHOU],
        [],
        ["line 1: non-breaking spaces were read as spaces (12 lines)"],
    ),
    "16-trailing-blanks": ([], [(7, f"{INFO}[0].instanceId")], []),
    "17-personal-placeholder-domains": ([], [(9, f"{INFO}[0].domains")], []),
    "18-both-editions": ([OWN_REGION], [(8, f"{INFO}[1].instanceId")], []),
    "19-personal-of-two-regions": ([BEIJING, HANGZHOU], [], []),
    "20-personal-cross-account-quoted": ([], [(10, f"{INFO}[0].assumeRoleARN")], []),
    "21-access-key-with-slashes-english": (
        [],
        [(8, f"{INFO}[0].customAccessKey"), (9, f"{INFO}[0].customAccessKeySecret")],
        ["line 8: a // comment was left out: YAML's sign is # (2 lines)"],
    ),
}


def text_of(sample):
    return (SAMPLES / f"{sample}.yaml").read_text(encoding="utf-8")


def test_every_sample_has_a_meaning():
    assert sorted(MEANINGS) == sorted(path.stem for path in SAMPLES.iterdir())
    assert len(MEANINGS) == 21


@pytest.mark.parametrize("sample", MEANINGS)
def test_a_documented_sample_is_understood_down_to_its_last_line(sample):
    registries, placeholders, changes = MEANINGS[sample]
    text = text_of(sample)
    assert is_one(text)
    conversion = convert(text)
    assert conversion.document["registries"] == [{**each, "identity": {"kind": "nodeRole"}} for each in registries]
    assert [(each.line, each.field) for each in conversion.problems] == placeholders
    assert {each.problem for each in conversion.problems} <= {PLACEHOLDER}
    told = [str(each) for each in conversion.changes]
    assert len(told) == len(changes), told
    assert all(one.startswith(start) for one, start in zip(told, changes, strict=True)), told


@pytest.mark.parametrize("sample", MEANINGS)
def test_as_settings_a_sample_is_what_is_usable_of_it_or_its_problems(sample):
    registries, placeholders, _ = MEANINGS[sample]
    judged = validate(text_of(sample))
    if not registries:
        assert [each.line for each in judged] == [line for line, _ in placeholders]
        return
    assert isinstance(judged, ProviderSettings)
    assert bool(judged.skipped) == bool(placeholders)
    assert [(each.instance_id, each.region) for each in judged.registries] == [
        ("", each.get("region")) for each in registries
    ]


ROLE_A, ROLE_B = "acs:ram::1234567890123456:role/rrsa-a", "acs:ram::9876543210987654:role/acr-pull"
PROVIDER = "acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0123456789"


@pytest.mark.parametrize("place", ["node", "controller"])
@pytest.mark.parametrize("sample", MEANINGS)
def test_with_its_placeholders_filled_in_every_sample_loses_nothing(sample, place):
    """What a user makes of a page: same form, values of their own."""
    text = text_of(sample)
    for number in range(9):
        text = text.replace("cri-instanceId", f"cri-real{number}", 1)
    for placeholder, value in {
        "cri-xxxx": "cri-real",
        "cri-xxx": "cri-real",
        "cn-xxxx": "cn-shanghai",
        "xxx.com,yyy.com": "registry.cn-hangzhou.aliyuncs.com" if 'instanceId: ""' in text else "a.example.com,b.io",
        "instance.default.domain.com,instance.custom": "real-registry.cn-hangzhou.cr.aliyuncs.com,images",
        "aUserRoleARN": ROLE_A,
        "aUserClusterOIDCProviderRoleARN": PROVIDER,
        "bUserRoleARN": ROLE_B,
        "acs:ram::.*:role/kubernetesworkerrole-test": ROLE_B,
        '"xxxxx"': '"LTAI5tReal"',
        '"xxxxxx"': '"CANARYsecret"',
    }.items():
        text = text.replace(placeholder, value)
    conversion = convert(text, place=place, keys_directory="/etc/keys")
    judged = validate_conversion(conversion)
    if "rrsa" in text and place == "node":  # a kubelet has no such token, and its own role is no substitute
        assert [(each.line, each.field) for each in judged] == [(10, f"{INFO}[0].rrsaRoleARN")]
        return
    assert isinstance(judged, ProviderSettings), judged
    assert not conversion.problems
    entries = text.count("instanceId:") or 1
    assert len(judged.registries) == entries
    if "customAccessKey" in text:
        assert list(conversion.secrets.values()) == ["LTAI5tReal", "CANARYsecret"]
        assert "CANARY" not in repr(conversion) + repr(conversion.document)
    hops = [(each.role_arn, each.session_duration) for registry in judged.registries for each in registry.assume_role]
    assert hops == [(ROLE_B, 3600.0)] * text.count("assumeRoleARN")
    if "rrsa" in text:
        (identity,) = (each.identity for each in judged.registries)
        assert (identity.kind, identity.role_arn, identity.oidc_provider_arn) == ("rrsa", ROLE_A, PROVIDER)
