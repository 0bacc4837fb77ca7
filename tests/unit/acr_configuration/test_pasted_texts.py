"""Texts around a ConfigMap and blocks at a wrong indentation: kinds, with members that no page or repository has."""

import json
import textwrap
import time

import pytest
from acr_credential_provider.acr_configuration import convert
from hypothesis import given
from hypothesis import strategies as st

SHOP = "- instanceId: cri-shop\n  regionId: cn-hangzhou\n"
MAP = "kind: ConfigMap\nmetadata:\n  name: acr-configuration\ndata:\n  watch-namespace: build\n  acr-registry-info: |\n"
MAP += textwrap.indent(SHOP, "    ")
OTHER = "kind: ConfigMap\nmetadata:\n  name: other\ndata:\n  watch-namespace: all\n"
READ = [{"instanceId": "cri-shop", "region": "cn-hangzhou", "identity": {"kind": "nodeRole"}}]


def registries(text, place="controller"):
    conversion = convert(text, place=place)
    assert conversion.problems == []
    return conversion.document["registries"]


@pytest.mark.parametrize(
    "text",
    [
        f"---\n{MAP}",
        f"{MAP}---\n",
        f"{MAP}...\n",
        f"---\n---\n{MAP}---\n---\n",
        f"--- # ours\n{MAP}",
        f"# a comment\n---\n# another\n{MAP}",
        f"%YAML 1.1\n---\n{MAP}",
        f"{OTHER}---\n{MAP}",
        f"{MAP}---\n{OTHER}",
        f"kind: Secret\nmetadata:\n  name: acr-configuration\n---\n{MAP}",
        f"broken: [\n---\n{MAP}",
        f"{OTHER}---\n"
        + MAP.replace("\ndata:", "\n  ownerReferences:\n  - kind: Deployment\n    name: x\ndata:").partition("\n")[2]
        + "kind: ConfigMap\n",
        f"{OTHER}---\n" + MAP.replace("build\n", "build\n  notify-email: |\n    kind: Secret\n"),
        f"{MAP}---\n\tbroken: '\n",
        MAP.replace("\n", "\r\n") + "---\r\n" + OTHER.replace("\n", "\r\n"),
    ],
)
def test_the_one_configmap_among_documents_is_read(text):
    conversion = convert(text, place="controller")
    assert conversion.document["registries"] == READ
    assert conversion.document["pullSecrets"]["namespaces"] == ["build"]


def test_lines_are_counted_from_the_top_of_the_file():
    (problem,) = convert(f"{OTHER}---\n" + MAP.replace("cn-hangzhou", "moon")).problems
    assert problem.line == len(OTHER.splitlines()) + 1 + 8


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (f"{MAP}---\n{MAP}", 10, "is the second acr-configuration"),
        (f"{OTHER}---\n{OTHER.replace('other', 'third')}", 7, "is the second acr-configuration"),
        (
            "kind: Secret\n---\nkind: ServiceAccount\nmetadata:\n  name: acr-configuration\n",
            1,
            "holds 2 documents, and none",
        ),
        ("kind: List\nitems: []\nmetadata: {name: acr-configuration}\n", 1, "holds 0 items, and none"),
        ("kind: ConfigMapList\nitems:\n- kind: ConfigMap\n  metadata: {name: x}\n", 1, "holds 1 items, and none"),
    ],
)
def test_none_and_several_are_told(text, line, problem):
    (found,) = convert(text).problems
    assert (found.line, found.problem.startswith(problem)) == (line, True), found
    assert "ConfigMap" in found.remedy


@pytest.mark.parametrize(
    "text",
    [
        {"name": "x-acr", "Config": "{}"},
        {"config": '{"AcrInstanceInfo": []}'},
        {"componentName": "aliyun-acr-credential-helper", "config": None},
        [{"name": "csi"}, {"name": "managed-aliyun-acr-credential-helper", "config": "{}"}],
        {"Addons": [{"Name": "managed-aliyun-acr-credential-helper", "Config": {"AcrInstanceInfo": []}}]},
    ],
)
def test_an_add_on_of_the_api_is_no_settings_and_no_personal_edition(text):
    for form in (json.dumps(text), json.dumps(text, indent=2)):
        (found,) = convert(form).problems
        assert found.problem.startswith("belongs to an add-on of ACK's API")
        assert "AcrInstanceInfo" in found.remedy


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("$ kubectl get configmap acr-configuration -o yaml\n" + MAP, "is a command"),
        ("oc apply -f acr-configuration.yaml\n", "is a command"),
        ("helm upgrade x --set acr-registry-info=x\n", "is a command"),
        ('variable = "x"\n' + MAP, "is the text of Terraform"),
        ('module "acr" {\n  watch-namespace = "all"\n}\n', "is the text of Terraform"),
        ("Name:        acr-configuration\nNamespace:   kube-system\n", "is the output of kubectl describe"),
        ("data:\n  watch-namespace: {{ .Values.ns }}\n", "holds a template"),
        ("data:\n  {{- with .Values.acr }}\n  watch-namespace: all\n  {{- end }}\n", "holds a template"),
        ("data:\n  acr-registry-info: |\n    - instanceId: {{ id }}\n", "holds a template"),
        ('[{"op": "add", "path": "/data/acr-registry-info", "value": ""}]', "is a JSON patch"),
    ],
)
def test_a_text_of_another_tool_is_named(text, problem):
    (found,) = convert(text).problems
    assert found.problem.startswith(problem)
    assert found.remedy


LIST = "acr-registry-info: |\n- instanceId: cri-shop\n  regionId: cn-hangzhou\n"
BELOW = f"acr-registry-info: |\n{textwrap.indent(SHOP, '  ')}"
OWN_COLUMN = {
    "a list": f"{LIST}watch-namespace: build\n",
    "a list at the end": f"watch-namespace: build\n{LIST.replace('|', '|-')}",
    "keys without a dash": LIST.replace("- ", "").replace("  region", "region") + "watch-namespace: build\n",
    "with a comment first": LIST.replace("|\n", "| # ours\n# the shop\n"),
    "rrsa": f"rrsa: |\nenable: false\n{BELOW}",
    "the webhook": f"webhook-configuration: |\nenable: true\ntimeout-seconds: 3\n{BELOW}",
}


@pytest.mark.parametrize("column", [0, 2, 4])
@pytest.mark.parametrize("how", OWN_COLUMN)
def test_a_block_on_the_column_of_its_own_key_is_indented(how, column):
    text = ("data:\n" if column else "") + textwrap.indent(OWN_COLUMN[how], " " * column)
    conversion = convert(text, place="controller")
    assert conversion.problems == []
    assert conversion.document["registries"] == READ
    assert any(each.what.endswith("was indented below its key") for each in conversion.changes)
    if how == "the webhook":
        assert conversion.document["pullSecrets"]["admission"] == {"mode": "auto", "timeoutSeconds": 3}


def test_a_block_on_its_own_column_ends_where_the_manifest_goes_on():
    assert registries(f"{LIST}metadata:\n  name: acr-configuration\nkind: ConfigMap\n") == READ


def test_an_rrsa_on_its_own_column_still_decides_for_all_entries():
    text = "data:\n  rrsa: |\n  enable: true\n  acr-registry-info: |\n    - instanceId: cri-shop\n"
    (problem,) = convert(text).problems
    assert problem.problem == "asks for RRSA, which cannot come along to a node"


INSIDE = {
    "below the list": f"acr-registry-info: |\n{textwrap.indent(SHOP, '    ')}  watch-namespace: build\n",
    "on the column of the list": f"{BELOW}  watch-namespace: build\n",
    "in place of a list": "acr-registry-info:\n  watch-namespace: build\n  rrsa: |\n    enable: false\n",
    "with a block of its own": f"{BELOW}  rrsa: |\n    enable: false\n  watch-namespace: build\n",
    "below rrsa": f"rrsa: |\n  enable: false\n  watch-namespace: build\n{BELOW}",
    "below the webhook": f"{BELOW}webhook-configuration:\n  enable: false\n  watch-namespace: build\n",
}


@pytest.mark.parametrize("column", [0, 2, 4])
@pytest.mark.parametrize("how", INSIDE)
def test_keys_indented_below_another_are_read_beside_it(how, column):
    text = ("data:\n" if column else "") + textwrap.indent(INSIDE[how], " " * column)
    conversion = convert(text, place="controller")
    assert conversion.problems == []
    assert conversion.document["pullSecrets"]["namespaces"] == ["build"]
    assert conversion.document["registries"] == (READ if "shop" in text else [{"identity": {"kind": "nodeRole"}}])
    assert any("were read as keys beside" in each.what for each in conversion.changes)


JSON_LIST = json.dumps([{"instanceId": "cri-shop", "regionId": "cn-hangzhou"}], indent=2)


@pytest.mark.parametrize("text", [JSON_LIST, JSON_LIST.replace("\n", ""), JSON_LIST.replace('"\n', '",\n')])
def test_json_in_a_block_keeps_its_commas(text):
    assert registries("data:\n  acr-registry-info: |\n" + textwrap.indent(text, "    ")) == READ


LINES = st.lists(
    st.sampled_from(
        [
            *(
                "data:",
                "  acr-registry-info: |",
                "  acr-registry-info:",
                "- instanceId: cri-shop",
                "    - instanceId: a",
            ),
            *(
                "  rrsa: |",
                "  enable: true",
                "    enable: false",
                "---",
                "...",
                "kind: ConfigMap",
                "kind: List",
                "items:",
            ),
            *(
                "metadata: {name: acr-configuration}",
                "  watch-namespace: all",
                "```",
                "{",
                "[",
                "]",
                "}",
                "\t",
                "# x",
                "",
            ),
            *(
                "  webhook-configuration: >",
                "   timeout-seconds: 3",
                "&a",
                "*a",
                "'",
                '"',
                "{{ x }}",
                "<br>",
                "%YAML 1.2",
            ),
        ]
    ),
    max_size=12,
)


@given(LINES)
def test_whatever_the_lines_are_the_answer_is_settings_or_problems(lines):
    conversion = convert("\n".join(lines), place="controller")
    assert conversion.document is not None or conversion.problems
    assert all(problem.remedy and 1 <= problem.line <= len(lines) + 1 for problem in conversion.problems)


@pytest.mark.parametrize("key", ["instance\tId", "instance\u2028Id", "instance\x85Id", "instance" + "-" * 60 + "Id"])
def test_a_key_with_signs_that_no_message_can_show_is_not_known(key):
    conversion = convert(json.dumps({"AcrInstanceInfo": [{key: "cri-shop"}]}))
    assert conversion.document["registries"] == []
    assert all(str(each).isprintable() for each in [*conversion.problems, *conversion.changes])


def test_spaces_in_a_key_are_left_out():
    assert (
        registries(json.dumps({"AcrInstanceInfo": [{"Instance ID": "cri-shop", "Region ID": "cn-hangzhou"}]})) == READ
    )


INFO = {"AcrInstanceInfo": [{"instanceId": "cri-shop", "regionId": "cn-hangzhou"}], "watchNamespace": "build"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(json.dumps(INFO)),
        f"'{json.dumps(INFO)}'",
        json.dumps(json.dumps({"data": {"acr-registry-info": SHOP, "watch-namespace": "build"}})),
        f"--- {json.dumps(json.dumps(INFO))}\n",
        f"|\n{textwrap.indent(json.dumps(INFO, indent=2), '  ')}\n",
    ],
)
def test_json_in_quotes_is_read_as_what_it_holds(text):
    conversion = convert(text, place="controller")
    assert conversion.document["registries"] == READ
    assert conversion.document["pullSecrets"]["namespaces"] == ["build"]
    assert any("in quotes" in each.what for each in conversion.changes)


@pytest.mark.parametrize("text", ['"AcrInstanceInfo"', '"[acr-registry-info"', "'{acr-configuration'"])
def test_a_text_in_quotes_that_is_no_json_is_a_problem(text):
    (problem,) = convert(text).problems
    assert problem.line == 1


MOST = 1 << 18
LONG = {
    "fences": "```\n",
    "separators": "---\n",
    "documents": "---\nrrsa: |\n x\n",
    "keys": "rrsa:\n  watch-namespace: x\n",
    "blocks on their own column": "rrsa: |\nenable: true\n",
    "breaks of HTML": "<br>",
    "JSON": "  [\n",
    "comments": "# x\n",
    "templates": "{{",
}


@pytest.mark.alone
@pytest.mark.parametrize("how", LONG)
def test_a_long_text_takes_no_longer_than_its_length(how):
    text = "acr-registry-info: |\n" + LONG[how] * (MOST // len(LONG[how]))
    began = time.process_time()
    convert(text, place="controller")
    assert time.process_time() - began < 4.0


@pytest.mark.parametrize(
    "line", ["```" + " " * MOST + "!", " " * MOST + "x: y", "rrsa" + " " * MOST + "!", "a" * MOST + " = "]
)
def test_a_long_line_takes_no_longer_than_its_length(line):
    began = time.process_time()
    convert(f"# acr-configuration\n{line}", place="controller")
    assert time.process_time() - began < 2.0
