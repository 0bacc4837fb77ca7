"""What else people write: each odd form gets the meaning it must have, or a problem with line, field and remedy."""

import json
import textwrap

import pytest
from acr_credential_provider.acr_configuration import convert, is_one
from acr_credential_provider.settings import ProviderSettings
from hypothesis import given
from hypothesis import strategies as st
from support.judged import validate_conversion

NODE = {"kind": "nodeRole"}
SHOP = {"instanceId": "cri-shop", "region": "cn-hangzhou", "identity": NODE}
LAB = {"instanceId": "cri-lab", "region": "cn-beijing", "identity": NODE}
PERSONAL = {"identity": NODE}
NBSP, ZERO_WIDTH = "\u00a0", "\u200b"


def info(text):
    """Return *text* as the acr-registry-info of a ConfigMap's data, from line 3 on."""
    return "data:\n  acr-registry-info: |\n" + textwrap.indent(textwrap.dedent(text).strip("\n"), "    ") + "\n"


ENTRY = '- instanceId: "cri-shop"\n  regionId: "cn-hangzhou"\n'

WITH_KEY = "- instanceId: cri-shop\n  customAccessKey: LTAI5tCANARY\n"
ROLE_A, ROLE_B = "acs:ram::1234567890123456:role/rrsa-a", "acs:ram::9876543210987654:role/acr-pull"
PROVIDER = "acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0123456789"
ROLE_ENTRY = f"- instanceId: cri-shop\n  assumeRoleARN: {ROLE_B}\n"
RRSA_KEYS = f"  rrsaRoleARN: {ROLE_A}\n  rrsaOIDCProviderRoleARN: {PROVIDER}\n"


def of_b(duration=None, **registry):
    hop = {"roleArn": ROLE_B} | ({"sessionDuration": duration} if duration else {})
    return {"instanceId": "cri-shop", "identity": NODE, "assumeRole": [hop]} | registry


def rrsa(entries, switch="enable: true"):
    """Return *entries* as the acr-registry-info of a ConfigMap with an rrsa, from line 5 on."""
    return f"data:\n  rrsa: |\n    {switch}\n" + info(entries).removeprefix("data:\n")


MEANINGS = {
    "a role to assume": (info(ROLE_ENTRY), [of_b()]),
    "a role and its session": (info(ROLE_ENTRY + "  expireDuration: 7200"), [of_b("7200s")]),
    "a role and its session in quotes": (info(ROLE_ENTRY + '  expireDuration: "43200"'), [of_b("43200s")]),
    "a role and its session, odd in all": (
        info(f"- instanceID: cri-shop\n  assumeRoleArn:'{ROLE_B}' // of B\n  expireduration:3600 # the least"),
        [of_b("3600s")],
    ),
    "a role and its session in JSON": (
        json.dumps({"AcrInstanceInfo": [{"instanceId": "cri-shop", "assumeRoleARN": ROLE_B, "expireDuration": 3600}]}),
        [of_b("3600s")],
    ),
    "a role for the Personal Edition": (
        info(f"- instanceId: ''\n  domains: registry.cn-beijing.aliyuncs.com\n  assumeRoleARN: {ROLE_B}"),
        [{"domains": ["registry.cn-beijing.aliyuncs.com"], "identity": NODE, "assumeRole": [{"roleArn": ROLE_B}]}],
    ),
    "a role for several instances": (
        info(f"- instanceId: cri-shop,cri-other\n  assumeRoleARN: {ROLE_B}"),
        [of_b(), of_b(instanceId="cri-other")],
    ),
    "several accounts": (
        info(ENTRY + ROLE_ENTRY.replace("cri-shop", "cri-b") + ROLE_ENTRY.replace("cri-shop", "cri-c")),
        [SHOP, of_b(instanceId="cri-b"), of_b(instanceId="cri-c")],
    ),
    "a session's duration without a role": (info(ENTRY + "  expireDuration: 3600"), [SHOP]),
    "an rrsa role while rrsa is switched off": (rrsa(ENTRY + RRSA_KEYS, "enable: false"), [SHOP]),
    "a list without the rest of the ConfigMap": (ENTRY, [SHOP]),
    "data without data:": ("acr-registry-info: |\n  " + ENTRY.replace("\n", "\n  "), [SHOP]),
    "a native list": ("data:\n  acr-registry-info:\n    " + ENTRY.replace("\n", "\n    "), [SHOP]),
    "a JSON manifest": (json.dumps({"kind": "ConfigMap", "data": {"acr-registry-info": ENTRY}}), [SHOP]),
    "a JSON list in a string": (
        json.dumps({"acr-registry-info": '[{"instanceId": "cri-shop", "regionId": "cn-hangzhou"}]'}),
        [SHOP],
    ),
    "the managed edition's parameters": (
        json.dumps(
            {
                "AcrInstanceInfo": [
                    {"InstanceId": "cri-shop", "RegionId": "cn-hangzhou", "Domains": "", "assumeRoleARN": ""}
                ],
                "enableRRSA": False,
                "watchNamespace": "all",
                "serviceAccount": "Default",
                "expiringThreshold": "15m",
                "notifyEmail": "",
            }
        ),
        [SHOP],
    ),
    "non-breaking spaces": (info(ENTRY).replace("  ", NBSP * 2).replace(": ", f":{NBSP}"), [SHOP]),
    "zero-width characters": (info(ENTRY).replace("instanceId", f"instance{ZERO_WIDTH}Id"), [SHOP]),
    "Windows line ends": (info(ENTRY).replace("\n", "\r\n"), [SHOP]),
    "a byte order mark": ("\ufeff" + info(ENTRY), [SHOP]),
    "no space after the dash": (info("-instanceId: cri-shop\n regionId: cn-hangzhou"), [SHOP]),
    "no space after inner colons": (info('- instanceId:"cri-shop"\n  regionId:cn-hangzhou'), [SHOP]),
    "full-width colons": (info("- instanceId\uff1acri-shop\n  regionId\uff1a cn-hangzhou"), [SHOP]),
    "typographic quotes": (info("- instanceId: \u201ccri-shop\u201d\n  regionId: \u2018cn-hangzhou\u2019"), [SHOP]),
    "full-width quotes": (info("- instanceId: \uff02cri-shop\uff02\n  regionId: cn-hangzhou"), [SHOP]),
    "// after bare values": (info("- instanceId: cri-shop // ours\n  regionId: cn-hangzhou  //here"), [SHOP]),
    "// on a line of its own": (info("// our shop\n" + ENTRY), [SHOP]),
    "a comma at the end of each line": (info('- instanceId: "cri-shop",\n  regionId: "cn-hangzhou",'), [SHOP]),
    "one map where a list should be": (info("instanceId: cri-shop\nregionId: cn-hangzhou"), [SHOP]),
    "#- before instanceId": (info("#- instanceId: cri-shop\n  regionId: cn-hangzhou"), [SHOP]),
    "#- without a space": (info("#-instanceId: cri-shop\n  regionId: cn-hangzhou"), [SHOP]),
    "a comment that is one": (info(ENTRY + "#- instanceId: cri-lab\n#  regionId: cn-beijing"), [SHOP]),
    "regionId indented too far": (info("- instanceId: cri-shop\n      regionId: cn-hangzhou"), [SHOP]),
    "regionId not indented": (info("- instanceId: cri-shop\nregionId: cn-hangzhou"), [SHOP]),
    "dashes at different depths": (
        info("- instanceId: cri-shop\n  regionId: cn-hangzhou\n  - instanceId: cri-lab\n    regionId: cn-beijing"),
        [SHOP, LAB],
    ),
    "several instances in one entry": (
        info('- instanceId: "cri-shop, cri-other"\n  regionId: cn-hangzhou'),
        [SHOP, SHOP | {"instanceId": "cri-other"}],
    ),
    "several quoted domains": (
        info(ENTRY + '  domains: "a.example.com","b.example.com"'),
        [SHOP | {"domains": ["a.example.com", "b.example.com"]}],
    ),
    "domains as a list": (
        info(ENTRY + "  domains: [a.example.com, 'b.example.com:8443']"),
        [SHOP | {"domains": ["a.example.com", "b.example.com:8443"]}],
    ),
    "domains as addresses": (
        info(ENTRY + "  domains: https://A.example.com/, a.example.com"),
        [SHOP | {"domains": ["a.example.com"]}],
    ),
    "a full-width comma between domains": (
        info(ENTRY + "  domains: a.example.com\uff0cb.example.com"),
        [SHOP | {"domains": ["a.example.com", "b.example.com"]}],
    ),
    "other capitals": (info("- InstanceID: cri-shop\n  regionid: cn-hangzhou"), [SHOP]),
    "the same id in two regions": (
        info("- instanceId: cri-shop\n  regionId: cn-hangzhou\n- instanceId: cri-shop\n  regionId: cn-beijing"),
        [SHOP, SHOP | {"region": "cn-beijing"}],
    ),
    "both editions": (info('- instanceId: ""\n- instanceId: cri-shop\n  regionId: cn-hangzhou'), [PERSONAL, SHOP]),
    "no instanceId": (info("- regionId: cn-beijing"), [PERSONAL | {"region": "cn-beijing"}]),
    "everything commented out": ("data:\n  acr-registry-info: |\n    # - instanceId: x\n", [PERSONAL]),
    "an empty shell": ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: acr-configuration\n", [PERSONAL]),
    "an asterisk without quotes": ("data:\n  service-account: *\n" + info(ENTRY)[6:], [SHOP]),
    "keys beside data:": ("kind: ConfigMap\ndata:\nacr-registry-info: |\n  " + ENTRY.replace("\n", "\n  "), [SHOP]),
    "a broken metadata block": (
        "kind: ConfigMap\nmetadata:\n name: acr-configuration\n   namespace: kube-system\n  selfLink: /x\n"
        + info(ENTRY),
        [SHOP],
    ),
    "metadata with another copy in it": (
        "kind: ConfigMap\nmetadata:\n  annotations:\n    last-applied: |\n      {:: *broken\n" + info(ENTRY),
        [SHOP],
    ),
    "rrsa switched off": ("data:\n  rrsa: |\n    enable: false\n" + info(ENTRY)[6:], [SHOP]),
    "a legacy list of hosts": ("data:\n  acr-registry: registry.*.aliyuncs.com\n" + info(ENTRY)[6:], [SHOP]),
    "an unknown API version": ("data:\n  acr-api-version: v2\n" + info(ENTRY)[6:], [SHOP]),
    "an odd e-mail address": ("data:\n  notify-email:c*@example.com\n" + info(ENTRY)[6:], [SHOP]),
    "a threshold in min": (
        "data:\n  expiring-threshold: 20min\n" + info(ENTRY)[6:],
        [SHOP | {"refreshBefore": "1200s"}],
    ),
    "another threshold": (
        "data:\n  expiring-threshold: 1h0m\n" + info(ENTRY)[6:],
        [SHOP | {"refreshBefore": "3600s"}],
    ),
}


@pytest.mark.parametrize("form", MEANINGS)
def test_an_odd_form_means_what_it_must(form):
    text, registries = MEANINGS[form]
    assert is_one(text)
    conversion = convert(text)
    assert [str(each) for each in conversion.problems] == []
    assert conversion.document["registries"] == registries
    assert isinstance(validate_conversion(conversion), ProviderSettings)


RRSA = {"kind": "rrsa", "roleArn": ROLE_A, "oidcProviderArn": PROVIDER}
FOR_THE_CONTROLLER = {
    "of the same account": (rrsa(ENTRY + RRSA_KEYS), [SHOP | {"identity": RRSA}]),
    "of the same account, with a session": (
        rrsa(ENTRY + RRSA_KEYS + "  expireDuration: 7200"),
        [SHOP | {"identity": RRSA | {"sessionDuration": "7200s"}}],
    ),
    "of another account": (rrsa(ROLE_ENTRY + RRSA_KEYS), [of_b(identity=RRSA)]),
    "of another account, with a session": (
        rrsa(ROLE_ENTRY + RRSA_KEYS + '  expireDuration: "43200"'),
        [of_b("43200s", identity=RRSA)],
    ),
    "switched on by the managed edition": (
        json.dumps(
            {
                "AcrInstanceInfo": [
                    {"InstanceId": "cri-shop", "rrsaRoleARN": ROLE_A, "rrsaOIDCProviderRoleARN": PROVIDER}
                ],
                "enableRRSA": True,
            }
        ),
        [{"instanceId": "cri-shop", "identity": RRSA}],
    ),
    "a native map": (
        f"data:\n  rrsa:\n    enable: true\n{info(ENTRY + RRSA_KEYS)[6:]}",
        [SHOP | {"identity": RRSA}],
    ),
}


@pytest.mark.parametrize("form", FOR_THE_CONTROLLER)
def test_rrsa_comes_along_to_the_controller_and_never_to_a_node(form):
    text, registries = FOR_THE_CONTROLLER[form]
    conversion = convert(text, place="controller")
    assert [str(each) for each in conversion.problems] == []
    assert conversion.document["registries"] == registries
    assert isinstance(validate_conversion(conversion), ProviderSettings)
    on_a_node = convert(text)
    assert on_a_node.document["registries"] == []
    (problem,) = on_a_node.problems
    assert "cannot come along to a node" in problem.problem
    assert "{kind: serviceAccount, oidcProviderArn: the one of rrsaOIDCProviderRoleARN" in problem.remedy
    assert ("assumeRole:" in problem.remedy) == ("assumeRole" in registries[0])


@pytest.mark.parametrize(
    ("entry", "field", "problem"),
    [
        ("- instanceId: cri-a\n", "[0].instanceId", "has no rrsaRoleARN beside it"),
        (ROLE_ENTRY, "[0].instanceId", "has no rrsaRoleARN beside it"),
        (f"{ENTRY}  rrsaRoleARN: {ROLE_A}", "[0].rrsaRoleARN", "has no rrsaOIDCProviderRoleARN beside it"),
        (
            f"{ENTRY}  rrsaOIDCProviderRoleARN: {PROVIDER}",
            "[0].rrsaOIDCProviderRoleARN",
            "has no rrsaRoleARN beside it",
        ),
        ("- instanceId: ''\n" + RRSA_KEYS, "[0].instanceId", "is of the Personal Edition"),
        ("- regionId: cn-hangzhou\n" + RRSA_KEYS, "[0].regionId", "is of the Personal Edition"),
        (WITH_KEY + "  customAccessKeySecret: CANARY", "[0].customAccessKey", "contradicts rrsa"),
        (
            ENTRY + RRSA_KEYS.replace(":oidc-provider/", ":role/"),
            "[0].rrsaOIDCProviderRoleARN",
            "is not the ARN of an OIDC provider",
        ),
    ],
)
def test_rrsa_on_the_controller_leaves_no_other_way(entry, field, problem):
    conversion = convert(rrsa(entry), place="controller", keys_directory="/k")
    assert (conversion.document["registries"], conversion.secrets) == ([], {})
    (only,) = conversion.problems
    assert (only.field.endswith(field), problem in only.problem) == (True, True), str(only)
    assert only.remedy.endswith(".")


@pytest.mark.parametrize("place", ["node", "controller"])
@pytest.mark.parametrize("switch", ["perhaps", "enabled: true", "enable: perhaps"])
def test_an_rrsa_that_cannot_be_read_leaves_no_entry_to_the_nodes_role(place, switch):
    conversion = convert(rrsa(ENTRY, switch), place=place)
    assert [each.field for each in conversion.problems] == ["rrsa", "acr-registry-info[0].instanceId"]
    assert conversion.document["registries"] == []


def test_what_the_file_says_in_vain_is_told():
    told = [str(each) for each in convert(rrsa(ENTRY + RRSA_KEYS + "  expireDuration: 3600", "enable: false")).notes]
    for words in (
        "line 7: acr-registry-info[0].rrsaRoleARN is not in use: rrsa is switched off",
        "line 8: acr-registry-info[0].rrsaOIDCProviderRoleARN is not in use",
        "line 9: acr-registry-info[0].expireDuration has no meaning without assumeRoleARN or RRSA",
    ):
        assert any(each.startswith(words) for each in told), told


@pytest.mark.parametrize(
    "form",
    ["non-breaking spaces", "#- without a space", "one map where a list should be", "domains as addresses"],
)
def test_what_was_read_otherwise_is_told_with_its_line(form):
    assert convert(MEANINGS[form][0]).changes
    assert all(str(each).startswith("line ") for each in convert(MEANINGS[form][0]).changes)


PROBLEMS = {
    "translated keys": ("data:\n  acr-registry-info: |\n    - \u30a4\u30f3\u30b9: cri-shop\n", 3, "", "is translated"),
    "a translated manifest": ("\u7a2e\u985e: ConfigMap\n\u30c7\u30fc\u30bf:\n  x: 1\n", 1, "", "is translated"),
    "a misspelt key": (info("- instanceId: cri-shop\n  region: cn-hangzhou"), 4, "[0].region", "is not a key of"),
    "a misspelt key of the data": (
        "data:\n  acr-registries: x\n" + info(ENTRY)[6:],
        2,
        "acr-registries",
        "is not a key",
    ),
    "a key twice": (info("- instanceId: cri-shop\n  regionId: a\n  regionid: b"), 5, "[0].regionid", "repeats"),
    "a key twice, letter by letter": (info("- instanceId: a\n  instanceId: b"), 4, "", "repeats a key"),
    "a plain word": (info("- cri-shop"), 3, "[0]", "is not an instance but a plain word"),
    "a word alone": (info("cri-shop"), 3, "", "is not a list"),
    "an alias": ("data:\n  acr-registry-info: *all\n", 2, "acr-registry-info", "is an alias of YAML"),
    "an alias for an entry": (info("- &a\n  instanceId: cri-shop\n- *a"), 5, "[1]", "is an alias of YAML"),
    "a tab": ("data:\n\tacr-registry-info: x\n", 2, "", "is indented with a tab"),
    "no space after an unknown key's colon": ("data:\n  note:x\n  acr-registry-info: |\n", 2, "", "has no space after"),
    "something else than YAML": ("acr-configuration: [unclosed\n", 1, "", "is not YAML"),
    "nested too deep": ("acr-registry-info: " + "[" * 12 + "]" * 12, 1, "[0]", "is not an instance but a list"),
    "another kind": ("kind: Secret\ndata:\n  acr-registry-info: x\n", 1, "kind", "is not ConfigMap"),
    "a word for data": ("kind: ConfigMap\ndata: x\n", 2, "data", "is not a mapping"),
    "a placeholder in brackets": (info("- instanceId: <cri-instanceId>"), 3, "[0].instanceId", "placeholder"),
    "a placeholder region": (info("- instanceId: cri-shop\n  regionId: cn-xxxx"), 4, "[0].regionId", "placeholder"),
    "stars over a value": (info("- instanceId: cri-******"), 3, "[0].instanceId", "placeholder"),
    "an instance's name": (info("- instanceId: shop"), 3, "[0].instanceId", "is not the ID of an instance"),
    "the new Personal Edition": (info("- instanceId: crpi-a1b2"), 3, "[0].instanceId", "new Personal Edition"),
    "its domain": (
        info("- instanceId: ''\n  domains: crpi-a1.cn-hangzhou.personal.cr.aliyuncs.com"),
        4,
        "[0].domains",
        "grants no temporary tokens",
    ),
    "a zone for a region": (info("- regionId: Hangzhou"), 3, "[0].regionId", "is not the ID of a region"),
    "a bucket for a region": (info("- regionId: oss-cn-hangzhou"), 3, "[0].regionId", "is not the ID of a region"),
    "a path among domains": (
        info("- instanceId: cri-a\n  domains: a.example.com/team"),
        4,
        "[0].domains",
        "not a host",
    ),
    "a domain of another region": (
        info("- instanceId: cri-a\n  regionId: cn-beijing\n  domains: a-registry.cn-hangzhou.cr.aliyuncs.com"),
        5,
        "[0].domains",
        "is in cn-hangzhou, not in the registry's region",
    ),
    "a Personal domain at an instance": (
        info("- instanceId: cri-a\n  domains: registry.cn-hangzhou.aliyuncs.com"),
        4,
        "[0].domains",
        "belongs to the Personal Edition",
    ),
    "an Enterprise domain without instance": (
        info("- instanceId: ''\n  domains: a-registry.cn-hangzhou.cr.aliyuncs.com"),
        4,
        "[0].domains",
        "belongs to an instance of the Enterprise Edition",
    ),
    "one host for two": (
        info("- instanceId: cri-a\n  domains: a.example.com\n- instanceId: cri-b\n  domains: a.example.com"),
        6,
        "[1].domains",
        "is claimed by a registry above too",
    ),
    "an instance twice, as two identities": (
        info("- instanceId: cri-a\n- instanceId: cri-a\n  assumeRoleARN: acs:ram::1234567890123456:role/acr-pull"),
        4,
        "[1].instanceId",
        "is claimed by a registry above too",
    ),
    "domains of several instances": (
        info("- instanceId: cri-a,cri-b\n  domains: a.example.com"),
        3,
        "[0].instanceId",
        "names several instances",
    ),
    "no role's ARN": (
        info("- instanceId: cri-a\n  assumeRoleARN: acs:ram::1234567890123456:user/puller"),
        4,
        "[0].assumeRoleARN",
        "is not the ARN of a role",
    ),
    "a role of a sample": (
        info("- instanceId: cri-a\n  assumeRoleARN: acs:ram::aaa:role/puller"),
        4,
        "[0].assumeRoleARN",
        "placeholder",
    ),
    "a role's name that is too long": (
        info(f"- instanceId: cri-a\n  assumeRoleARN: acs:ram::1234567890123456:role/{'x1' * 33}"),
        4,
        "[0].assumeRoleARN",
        "is not the ARN of a role",
    ),
    "a session that is too short": (
        info(ROLE_ENTRY + "  expireDuration: 3599"),
        5,
        "[0].expireDuration",
        "is not a session's duration",
    ),
    "a session that is too long": (
        info(ROLE_ENTRY + '  expireDuration: "43201"'),
        5,
        "[0].expireDuration",
        "is not a session's duration",
    ),
    "an access key beside a role": (
        info(ROLE_ENTRY + "  customAccessKey: LTAI5tCANARY\n  customAccessKeySecret: CANARY"),
        4,
        "[0].assumeRoleARN",
        "and customAccessKey are two ways",
    ),
    "an access key beside rrsa": (
        rrsa(WITH_KEY + "  customAccessKeySecret: CANARY"),
        6,
        "[0].customAccessKey",
        "contradicts rrsa",
    ),
    "an rrsa role, and nobody says whether rrsa is on": (
        info("- instanceId: cri-a\n  rrsaRoleARN: acs:ram::1234567890123456:role/a"),
        4,
        "[0].rrsaRoleARN",
        "has no meaning while rrsa is not enabled",
    ),
    "rrsa switched by another key": (rrsa(ENTRY, "enabled: true"), 3, "rrsa", "holds another key than enable"),
    "a session with a unit": (
        info("- instanceId: cri-a\n  expireDuration: 1h"),
        4,
        "[0].expireDuration",
        "is not a session's duration",
    ),
    "rrsa for an entry": (
        "data:\n  rrsa: |\n    enable: true\n"
        + info("- instanceId: cri-a\n  rrsaRoleARN: acs:ram::1234567890123456:role/a")[6:],
        6,
        "[0].rrsaRoleARN",
        "asks for RRSA, which cannot come along to a node",
    ),
    "rrsa for all, never the node's role instead": (
        "data:\n  rrsa:\n    enable: true\n" + info("- instanceId: cri-a")[6:],
        5,
        "[0].instanceId",
        "asks for RRSA",
    ),
    "rrsa neither on nor off": ("data:\n  rrsa: perhaps\n" + info(ENTRY)[6:], 2, "rrsa", "is not a mapping"),
    "a key without its secret": (info(WITH_KEY), 4, "[0].customAccessKey", "is one half of an access key"),
    "a key in the file itself": (
        info(WITH_KEY + "  customAccessKeySecret: CANARY"),
        4,
        "[0].customAccessKey",
        "stands in the file itself",
    ),
    "a bare secret before //": (
        info(WITH_KEY + "  customAccessKeySecret: CANARY //x"),
        5,
        "customAccessKeySecret",
        "may or may not end before //",
    ),
}


@pytest.mark.parametrize("form", PROBLEMS)
def test_what_cannot_be_meant_is_told_by_line_field_and_remedy(form):
    text, line, field, problem = PROBLEMS[form]
    assert is_one(text)
    conversion = convert(text)
    validate_conversion(conversion)
    first = conversion.problems[0]
    assert (first.line, problem in first.problem, first.field.endswith(field)) == (line, True, True), str(first)
    assert first.remedy.endswith(".")
    assert "CANARY" not in str(first) + first.remedy + repr(conversion)


PROBLEMS_OF_A_CONTROLLER = {
    "a threshold without unit": ("data:\n  expiring-threshold: 900\n" + info(ENTRY)[6:], 2, "", "is not a duration"),
    "a threshold of days": ("data:\n  expiring-threshold: 48h\n" + info(ENTRY)[6:], 2, "", "is longer than 12h"),
    "a webhook's timeout with a unit": (
        "data:\n  webhook-configuration: |\n    timeout-seconds: 10s\n" + info(ENTRY)[6:],
        3,
        "webhook-configuration.timeout-seconds",
        "is not as documented",
    ),
    "a webhook's policy": (
        "data:\n  webhook-configuration: |\n    failure-policy: ignore\n" + info(ENTRY)[6:],
        3,
        "webhook-configuration.failure-policy",
        "is not as documented",
    ),
}


@pytest.mark.parametrize("form", PROBLEMS_OF_A_CONTROLLER)
def test_what_a_controller_alone_reads_is_a_problem_of_the_controller_alone(form):
    text, line, field, problem = PROBLEMS_OF_A_CONTROLLER[form]
    (told,) = convert(text, place="controller").problems
    assert (told.line, problem in told.problem, told.field.endswith(field)) == (line, True, True), str(told)
    assert convert(text).problems == []


def test_one_bad_entry_does_not_cost_the_others():
    conversion = convert(info(ENTRY + "- instanceId: cri-xxx\n- instanceId: cri-lab\n  regionId: cn-beijing"))
    judged = validate_conversion(conversion)
    assert judged.skipped
    assert [each.instance_id for each in judged.registries] == ["cri-shop", "cri-lab"]
    assert judged.skipped[0][0].startswith("line 5: acr-registry-info[1].instanceId still holds")
    assert not judged.personal_quarantined


def test_what_a_bad_entry_may_have_been_for_is_noted():
    entry = (
        "- instanceId: ''\n  regionId: cn-hangzhou\n  domains: a.example.com,b.example.com\n  customAccessKey: LTAI1\n"
    )
    judged = validate_conversion(convert(info(ENTRY + entry)))
    assert judged.skipped
    assert {"a.example.com", "b.example.com"} <= set(judged.quarantined_hosts)
    assert judged.personal_quarantined


def test_what_belongs_to_the_controller_is_said_so():
    text = (
        "data:\n  service-account: default\n  watch-namespace: all\n  webhook-configuration: |\n    enable: true\n"
        + info(ENTRY)[6:]
    )
    notes = [str(each) for each in convert(text).notes]
    for line, key in ((2, "service-account"), (3, "watch-namespace"), (4, "webhook-configuration")):
        assert any(each.startswith(f"line {line}: {key} belongs to the pull-secrets controller") for each in notes)


def test_access_keys_go_into_files_one_pair_for_each_entry():
    entry = "- instanceId: ''\n  regionId: {}\n  customAccessKey: LTAI{}\n  customAccessKeySecret: CANARY{}\n"
    text = info(entry.format("cn-beijing", 1, 1) + entry.format("cn-hangzhou", 2, 2))
    conversion = convert(text, keys_directory="/etc/keys/")
    assert conversion.secrets == {
        "/etc/keys/personal-cn-beijing-access-key-id": "LTAI1",
        "/etc/keys/personal-cn-beijing-access-key-secret": "CANARY1",
        "/etc/keys/personal-cn-hangzhou-access-key-id": "LTAI2",
        "/etc/keys/personal-cn-hangzhou-access-key-secret": "CANARY2",
    }
    judged = validate_conversion(conversion)
    assert judged.registries[1].identity.access_key_id_file == "/etc/keys/personal-cn-hangzhou-access-key-id"
    assert "CANARY" not in repr(conversion) + repr(conversion.document) + repr(judged)


def test_key_files_that_no_registry_is_left_to_need_are_not_written():
    entry = "- instanceId: {}\n  customAccessKey: LTAI1\n  customAccessKeySecret: CANARY\n"
    conversion = convert(info(entry.format("cri-a,cri-b") + entry.format("cri-b")), keys_directory="/k")
    validate_conversion(conversion)
    assert [each["instanceId"] for each in conversion.document["registries"]] == ["cri-a", "cri-b"]
    assert list(conversion.secrets) == ["/k/cri-a-own-region-access-key-id", "/k/cri-a-own-region-access-key-secret"]


def test_our_own_settings_are_never_taken_for_one():
    assert not is_one("apiVersion: aliyun-acr-credential-provider/v1\nregistries:\n- instanceId: cri-a\n")
    assert not is_one("registries:\n- instanceId: cri-a\n")
    assert not is_one("kind: Secret\n")


SIGNS = "-:#|*&%@'\"{}[],/\n\t \u00a0\uff1a\u201c"
NAMES = (
    "instanceId regionId domains data acr-registry-info customAccessKeySecret cri-a cn-hangzhou metadata rrsa enable"
)
WORDS = st.sampled_from([*SIGNS, *NAMES.split(), "  ", "//", "\n    - "])


@given(st.lists(WORDS, max_size=60).map("".join))
def test_whatever_is_written_there_is_a_meaning_or_a_problem(text):
    conversion = convert("data:\n  acr-registry-info: |\n    " + text)
    judged = validate_conversion(conversion)
    assert isinstance(judged, ProviderSettings) or judged
    assert all(each.line >= 1 and each.remedy for each in conversion.problems)


@given(st.lists(WORDS, max_size=30).map("".join))
def test_a_secret_is_never_shown(noise):
    text = info(WITH_KEY) + f'      customAccessKeySecret: "CANARYsecret"{noise}\n'
    conversion = convert(text)
    judged = validate_conversion(conversion)
    told = [str(each) + each.remedy for each in conversion.problems]
    told += [str(each) for each in (*conversion.changes, *conversion.notes)]
    assert "CANARYsecret" not in repr(judged) + "".join(told)


def pull_secrets(text, place="controller"):
    conversion = convert(text, place=place)
    assert conversion.problems == []
    return conversion.document.get("pullSecrets")


def test_a_controller_learns_which_accounts_and_namespaces_are_meant():
    text = (
        "service-account: 'Default, build'\nwatch-namespace: team,all\nwebhook-configuration: |\n  enable: true\n"
        "  failure-policy: Fail\n  timeout-seconds: 5\nacr-registry-info: |\n  - instanceId: cri-0123456789abcdef\n"
    )
    assert pull_secrets(text) == {
        "serviceAccounts": ["default", "build"],
        "namespaces": ["team", "*"],
        "excludedNamespaces": [],
        "admission": {"mode": "auto", "failurePolicy": "Fail", "timeoutSeconds": 5},
    }
    assert pull_secrets(text, place="node") is None


def test_a_controller_told_nothing_keeps_the_default_account_of_the_default_namespace():
    kept = pull_secrets("acr-registry-info: |\n  - instanceId: cri-0123456789abcdef\n")
    assert kept == {"serviceAccounts": ["default"], "namespaces": ["default"], "excludedNamespaces": []}


def test_a_name_that_cannot_be_one_is_a_problem_of_the_controller_alone():
    text = "watch-namespace: Team_A\nacr-registry-info: |\n  - instanceId: cri-0123456789abcdef\n"
    (problem,) = convert(text, place="controller").problems
    assert str(problem) == "line 1: watch-namespace holds something that is not a name"
    assert convert(text, place="node").problems == []


def test_all_namespaces_come_with_a_warning_about_the_system():
    notes = convert("watch-namespace: all\nacr-registry-info: ''\n", place="controller").notes
    assert any("takes in system namespaces" in str(each) for each in notes)


def test_whose_role_asks_is_no_matter_of_the_configmap_but_another_accounts_is_for_the_worker_role():
    text = (
        "acr-registry-info: |\n  - instanceId: cri-0123456789abcdef\n    regionId: cn-hangzhou\n"
        "  - instanceId: cri-fedcba9876543210\n    assumeRoleARN: acs:ram::1234567890:role/pull\n"
    )
    registries = convert(text, place="controller", role="managedRole").document["registries"]
    assert [each["identity"]["kind"] for each in registries] == ["managedRole", "nodeRole"]
