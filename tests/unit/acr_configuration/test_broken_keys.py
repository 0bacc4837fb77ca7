"""A key of the ConfigMap that cannot be read fails alone: the registries beside it stay, unless it says who asks."""

import json
import textwrap
import time

import pytest
from acr_credential_provider.acr_configuration import convert, is_one
from acr_credential_provider.pull_secrets.config.configuration import parse, text_of
from acr_credential_provider.settings import ProviderSettings
from acr_credential_provider.settings.match_images import match_images
from support.judged import validate, validate_conversion

SHOP = "- instanceId: cri-shop\n  regionId: cn-hangzhou\n  domains: images.example.com\n"
ROLE = "  assumeRoleARN: acs:ram::1234567890123456:role/acr-pull\n"
OF_THE_CONTROLLER = ("webhook-configuration", "service-account", "watch-namespace")
BESIDE = (*OF_THE_CONTROLLER, "expiring-threshold", "notify-email", "acr-api-version", "acr-registry", "tokenMode")
BROKEN = {
    "a deeper second line": "enable: true\n  failure-policy: Ignore\n  timeout-seconds: 10",
    "a tab": "enable: true\n\tfailure-policy: Ignore",
    "a tab at its start": "\tenable: true\n\tfailure-policy: Ignore",
    "an open quote": 'enable: "true',
    "an open bracket": "enable: [true",
    "a key twice": "enable: true\nenable: false",
    "aliases in aliases": "a: &a [x, x]\nb: &b [*a, *a]\nenable: [*b, *b]",
    "an alias of nothing": "enable: *nothing",
    "a list": "- enable: true",
    "a number": "7",
    "several documents": "enable: true\n---\nenable: false\n",
    "a NUL": "enable: \0true",
    "bytes of a terminal": "enable: \x1b[1mtrue",
    "a sign beyond the BMP": "enable: \U0001f600",
    "too deep": "enable: " + "[" * 12 + "]" * 12,
    "far too deep": "enable: " + "[" * 5000,
    "huge": "enable: " + "x" * 700_000,
    "huge and broken": "enable: {" + "x: y, " * 100_000,
    "a comment that may be a secret's end": "customAccessKeySecret: x // y",
}
NATIVE = {
    "a key twice": "{key}:\n    enable: true\n    enable: false\n",
    "the key itself twice": "{key}: 'x'\n  {key}: 'y'\n",
    "an alias of nothing": "{key}: *nothing\n",
    "aliases in aliases": "{key}: {{a: &a [x, x], b: &b [*a, *a], enable: [*b, *b]}}\n",
    "too deep": "{key}: " + "[" * 12 + "]" * 12 + "\n",
    "a mapping for a key": "{key}: {{? [a, b] : c}}\n",
}
"""What a manifest that is not of the API server may hold in place of a text."""


def data(key, text):
    return {key: text, "acr-registry-info": SHOP}


def as_json(document):
    return json.dumps(document, ensure_ascii=False)


def native(key, how):
    """Return a manifest in which *key* is broken and stands before the registries."""
    block = textwrap.indent(SHOP, "    ")
    return f"kind: ConfigMap\ndata:\n  {NATIVE[how].format(key=key)}  acr-registry-info: |\n{block}"


def instances(judged):
    return [each.instance_id for each in judged.registries] if isinstance(judged, ProviderSettings) else []


def assert_on_a_node(text):
    judged = validate(text)
    assert instances(judged) == ["cri-shop"], judged
    assert not judged.skipped
    assert "images.example.com" in match_images(judged).node


def assert_in_the_controller(text, key):
    judged = parse(text, role="nodeRole", keys_directory="/keys", origin=None)
    assert instances(judged.settings) == ["cri-shop"], judged.problems
    assert all(each.field.startswith(key) and each.remedy.endswith(".") for each in judged.problems), judged.problems
    return judged


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("key", BESIDE)
def test_a_broken_key_takes_no_registry_away(key, how):
    text = text_of(data(key, BROKEN[how]))
    assert is_one(text)
    assert_on_a_node(text)
    assert_in_the_controller(text, key)


@pytest.mark.parametrize("how", NATIVE)
@pytest.mark.parametrize("key", BESIDE)
def test_neither_does_one_that_is_broken_in_the_manifest_itself(key, how):
    text = native(key, how)
    assert_on_a_node(text)
    assert_in_the_controller(text, key)


@pytest.mark.parametrize("how", sorted({*BROKEN} - {"a comment that may be a secret's end", "a NUL"}))
@pytest.mark.parametrize("wrap", [{}, {"kind": "ConfigMap"}], ids=["parameters", "manifest"])
def test_neither_does_one_in_the_json_forms(wrap, how):
    members = {"webhookConfiguration": BROKEN[how], "acr-registry-info": SHOP}
    text = as_json({**wrap, "data": members} if wrap else members)
    if any(not each.isprintable() for each in text):
        pytest.skip("no JSON")
    assert_on_a_node(text)
    assert_in_the_controller(text, "webhook")


@pytest.mark.parametrize("place", ["node", "controller"])
@pytest.mark.parametrize("how", BROKEN)
def test_an_rrsa_that_cannot_be_read_leaves_no_entry_to_another_identity(how, place):
    conversion = convert(text_of({"rrsa": BROKEN[how], "acr-registry-info": SHOP + ROLE}), place=place)
    assert instances(validate_conversion(conversion)) == []
    first, *others = [each.field for each in conversion.problems]
    assert first.startswith("rrsa"), conversion.problems
    assert others[0].startswith("acr-registry-info[0]"), conversion.problems
    assert "depends on rrsa" in conversion.problems[1].problem


@pytest.mark.parametrize("place", ["node", "controller"])
@pytest.mark.parametrize("how", NATIVE)
def test_neither_does_one_that_is_broken_in_the_manifest(how, place):
    conversion = convert(native("rrsa", how), place=place)
    assert instances(validate_conversion(conversion)) == []
    assert conversion.problems[0].field.startswith("rrsa")


@pytest.mark.parametrize(
    "text",
    [
        "data:\n  rrsa: 'enable: false'\n  enableRRSA: 'true'\n  acr-registry-info: |\n    - instanceId: cri-shop\n",
        "data:\n  rrsa: 'enable: false'\n  acr-registry-info: |\n    - instanceId: cri-shop\nrrsa: 'enable: true'\n",
        "data:\n  acr-registry-info: |\n    - instanceId: cri-shop\n  rrsa: 'on'\n  rrsa: 'off'\n",
    ],
    ids=["under two names", "below data and beside it", "twice"],
)
def test_two_that_may_disagree_about_rrsa_are_none(text):
    conversion = convert(text)
    assert instances(validate_conversion(conversion)) == []
    assert any("rrsa" in each.field.lower() for each in conversion.problems)


def test_the_webhook_of_the_documentation_s_reader_is_told_by_key_line_and_remedy():
    text = (
        "kind: ConfigMap\ndata:\n  acr-registry-info: |\n    - instanceId: cri-shop\n"
        '  webhook-configuration: "enable: true\\n  failure-policy: [Ignore\\n  timeout-seconds: 10"\n'
    )
    (problem,) = convert(text, place="controller").problems
    assert str(problem).startswith("line 7: webhook-configuration is not YAML")
    assert problem.remedy == "Check indentation, quotes, and the space after each colon."
    on_a_node = convert(text)
    assert on_a_node.problems == []
    (note,) = [str(each) for each in on_a_node.notes if "webhook" in each.what]
    assert note.startswith("line 5: webhook-configuration belongs to the pull-secrets controller")


def test_a_webhook_whose_keys_stand_at_several_indentations_is_read():
    text = (
        "kind: ConfigMap\ndata:\n  acr-registry-info: |\n    - instanceId: cri-shop\n"
        '  webhook-configuration: "enable: true\\n  failure-policy: Fail\\n    timeout-seconds: 7"\n'
    )
    conversion = convert(text, place="controller")
    assert conversion.problems == []
    admission = {"mode": "auto", "failurePolicy": "Fail", "timeoutSeconds": 7}
    assert conversion.document["pullSecrets"]["admission"] == admission
    assert [each.what for each in conversion.changes] == [
        "webhook-configuration: its keys were read at one indentation"
    ]


@pytest.mark.parametrize("threshold", ["900", "48h", "soon", "[15m"])
def test_a_threshold_that_is_none_is_a_note_on_a_node_which_goes_by_the_usual_one(threshold):
    text = f"data:\n  expiring-threshold: '{threshold}'\n  acr-registry-info: |\n{textwrap.indent(SHOP, '    ')}"
    conversion = convert(text)
    assert "refreshBefore" not in conversion.document["registries"][0]
    (note,) = [str(each) for each in conversion.notes if "threshold" in each.what]
    assert note.startswith("line 2: expiring-threshold is ")
    assert "Write" in note
    assert [each.field for each in convert(text, place="controller").problems] == ["expiring-threshold"]


@pytest.mark.parametrize("how", BROKEN)
def test_registries_that_cannot_be_read_are_told_under_their_name_and_take_nothing_else_s_words(how):
    conversion = convert(text_of({"acr-registry-info": BROKEN[how], "rrsa": "perhaps"}))
    assert instances(validate_conversion(conversion)) == []
    assert {each.field.partition(":")[0].partition("[")[0].partition(".")[0] for each in conversion.problems} == {
        "rrsa",
        "acr-registry-info",
    }


def test_many_aliases_take_no_time():
    many = "[" + "&a 1, *a, " * 40_000 + "]"
    began = time.monotonic()
    assert_on_a_node(
        f"kind: ConfigMap\ndata:\n  notify-email: {many}\n  acr-registry-info: |\n" + textwrap.indent(SHOP, "    ")
    )
    assert time.monotonic() - began < 30


BREAKS_THE_MANIFEST = {
    "an open bracket": "{key}: [\n",
    "an open brace": "{key}: {{enable: true\n",
    "an open quote": '{key}: "c*@example.com\n',
    "a quote too many": "{key}: 'it's'\n",
    "a second value": '{key}: "a" "b"\n',
    "no space after the colon": "{key}:x\n",
    "a tab": "{key}:\n\tenable: true\n",
    "a percent sign": "{key}: %x\n",
    "a sign of YAML's own": "{key}: @x\n",
    "two colons": "{key}: a: b\n",
    "a deeper line that belongs to nothing": "{key}: x\n      enable: true\n",
    "an alias of nothing": "{key}: *nothing\n",
    "the text of a block in the key's column": "{key}: |\n  enable: true\n",
}
"""What is not YAML at all, as it stands in a manifest."""


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("how", BREAKS_THE_MANIFEST)
@pytest.mark.parametrize("key", ["webhook-configuration", "watch-namespace", "notify-email", "expiring-threshold"])
def test_neither_does_one_that_is_no_yaml_at_all(key, how, where):
    broken = "  " + BREAKS_THE_MANIFEST[how].format(key=key)
    good = "  acr-registry-info: |\n" + textwrap.indent(SHOP, "    ")
    text = "kind: ConfigMap\ndata:\n" + (broken + good if where == "before" else good + broken)
    judged = validate(text)
    assert instances(judged) == ["cri-shop"], judged
    assert "images.example.com" in match_images(judged).node
    assert instances(parse(text, role="nodeRole", keys_directory="/keys", origin=None).settings) == ["cri-shop"]


@pytest.mark.parametrize("how", BREAKS_THE_MANIFEST)
@pytest.mark.parametrize("key", ["rrsa", "enableRRSA"])
def test_but_an_rrsa_that_is_no_yaml_leaves_no_entry_to_another_identity(key, how):
    text = "kind: ConfigMap\ndata:\n  acr-registry-info: |\n" + textwrap.indent(SHOP + ROLE, "    ")
    text += "  " + BREAKS_THE_MANIFEST[how].format(key=key)
    assert instances(validate(text)) == [], how


def test_a_line_that_no_key_owns_may_be_rrsa():
    text = 'data:\n  notify-email: "me\n  rrsa enable: true\n  acr-registry-info: |\n' + textwrap.indent(SHOP, "    ")
    assert instances(validate(text)) == []


@pytest.mark.parametrize("how", BROKEN)
def test_an_entry_that_cannot_be_read_costs_the_others_nothing(how):
    lines = BROKEN[how].replace("\n", "\n  ")
    text = text_of({"acr-registry-info": f"- instanceId: cri-other\n  regionId: {lines}\n{SHOP}"})
    conversion = convert(text)
    assert "cri-shop" in instances(validate_conversion(conversion)), conversion.problems
