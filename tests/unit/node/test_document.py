"""Our providers in a CredentialProviderConfig of others, and out again."""

import json

import pytest
import yaml
from acr_credential_provider.kubelet.config_validation import problems
from acr_credential_provider.model.errors import ConfigurationError
from acr_node_config.kubelet_config.document import Document, fresh
from hypothesis import assume, given
from hypothesis import strategies as st
from support.kubelet_configs import CASES, PROGRAMS, TOKENS, V1, config, provider

OURS = "aliyun-acr-credential-provider"
ENTRY = provider(OURS, matchImages=["*.*.cr.aliyuncs.com", "images.example.com"])
TOKEN_ENTRY = {**provider(f"{OURS}-token"), "tokenAttributes": TOKENS}

EKS = """{
  "apiVersion": "kubelet.config.k8s.io/v1",
  "kind": "CredentialProviderConfig",
  "providers": [
    {
      "name": "ecr-credential-provider",
      "matchImages": [
        "*.dkr.ecr.*.amazonaws.com",
        "public.ecr.aws"
      ],
      "defaultCacheDuration": "12h0m0s",
      "apiVersion": "credentialprovider.kubelet.k8s.io/v1"
    }
  ]
}"""
AKS = """# written by the platform
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: acr-credential-provider   # Azure's
    matchImages:
      - "*.azurecr.io"   # public
      # and the others:
      - "*.azurecr.cn"
    defaultCacheDuration: "10m"
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    args:
      - /etc/kubernetes/azure.json
    futureField: {kept: yes}

# the end
"""
GKE = """kind: CredentialProviderConfig
apiVersion: kubelet.config.k8s.io/v1
providers:
-
  name: auth-provider-gcp
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages:
  - "container.cloud.google.com"
  - "gcr.io"
  args:
  - get-credentials
  - |
    text of
    two lines
  defaultCacheDuration: 1m
- name: other
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: ["x.example.com", "é.example.com"]
  defaultCacheDuration: 1m"""
COMPACT = json.dumps(config(provider("ecr"), provider("gcr"))) + "\n"
LINES = "{apiVersion: x}"
FLOW = """apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers: [{name: a, matchImages: [x.example.com], defaultCacheDuration: 0s,
  apiVersion: credentialprovider.kubelet.k8s.io/v1}]
"""
EMPTY = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders: []\n"
SAMPLES = {"EKS": EKS, "AKS": AKS, "GKE": GKE, "compact": COMPACT, "flow": FLOW}
EACH_SAMPLE = pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES)


def parse(text):
    return Document.parse(text if isinstance(text, bytes) else text.encode(), "/etc/p")


@EACH_SAMPLE
def test_all_that_others_wrote_stays_when_our_providers_come(text):
    before = parse(text)
    after = parse(before.with_providers([ENTRY, TOKEN_ENTRY]))
    assert after.providers == [*before.providers, ENTRY, TOKEN_ENTRY]
    assert {**after.text.value, "providers": None} == {**before.text.value, "providers": None}
    assert list(after.text.value) == list(before.text.value)
    assert after.text.is_json == before.text.is_json


@EACH_SAMPLE
def test_not_a_byte_of_others_changes(text):
    after = parse(text).with_providers([ENTRY])
    ours = len(after) - len(text.encode())
    assert ours > 0
    start = next(at for at, (old, new) in enumerate(zip(text.encode() + b"\0", after, strict=False)) if old != new)
    assert text.encode().startswith(after[:start])
    assert text.encode().endswith(after[start + ours :])


@EACH_SAMPLE
def test_in_and_out_again_gives_the_same_bytes(text):
    with_ours = parse(text).with_providers([ENTRY, TOKEN_ENTRY])
    assert parse(with_ours).without_providers([OURS, f"{OURS}-token"]) == text.encode()


@EACH_SAMPLE
def test_a_second_time_changes_nothing(text):
    once = parse(text).with_providers([ENTRY, TOKEN_ENTRY])
    assert parse(once).with_providers([ENTRY, TOKEN_ENTRY]) == once
    reordered = dict(reversed(ENTRY.items()))
    assert parse(once).with_providers([reordered]) == once


@EACH_SAMPLE
def test_a_changed_provider_of_ours_keeps_its_place(text):
    changed = {**ENTRY, "matchImages": ["only.example.com"]}
    first = parse(parse(text).with_providers([ENTRY, TOKEN_ENTRY]))
    after = parse(first.with_providers([changed]))
    assert after.names == first.names
    assert after.providers[-2] == changed
    assert after.with_providers([ENTRY]) == first.data


@EACH_SAMPLE
def test_what_results_is_what_a_kubelet_starts_with(text):
    text = text.replace("    futureField: {kept: yes}\n", "")
    names = [*parse(text).names, OURS, f"{OURS}-token"]
    files = {"/etc/p": parse(text).with_providers([ENTRY, TOKEN_ENTRY])}
    assert not problems(files, (1, 34), is_directory=False, executables=names)


def test_comments_stay_where_they_are():
    after = parse(AKS).with_providers([ENTRY]).decode()
    kept = [line for line in AKS.splitlines() if "#" in line]
    assert [line for line in after.splitlines() if "#" in line] == kept
    assert after.splitlines()[-1] == "# the end"


def test_the_environment_that_an_operator_gave_our_provider_stays():
    env = [{"name": "ACR_CREDENTIAL_PROVIDER_LOG", "value": "info"}]
    document = parse(json.dumps(config({**ENTRY, "env": env})))
    assert document.with_providers([ENTRY]) == document.data
    changed = parse(document.with_providers([{**ENTRY, "matchImages": ["x"]}]))
    assert changed.providers[0]["env"] == env
    ours = [{"name": "HTTPS_PROXY", "value": "http://p"}]
    assert parse(document.with_providers([{**ENTRY, "env": ours}])).providers[0]["env"] == ours


def test_a_file_that_lists_none_gets_its_first():
    assert parse(parse(EMPTY).with_providers([ENTRY])).providers == [ENTRY]
    null = EMPTY.replace(" []", "")
    assert parse(parse(null).with_providers([ENTRY])).providers == [ENTRY]


def test_without_its_only_provider_a_file_lists_none():
    document = parse(json.dumps(config(ENTRY)))
    assert parse(document.without_providers([OURS])).providers == []


def test_what_is_not_there_is_not_taken_out():
    assert parse(AKS).without_providers([OURS]) == AKS.encode()


def test_others_in_the_middle_are_found_and_taken_out_by_name():
    document = parse(GKE)
    first = parse(document.without_providers(["auth-provider-gcp"]))
    assert first.providers == document.providers[1:]
    assert parse(EKS.replace("ecr-credential-provider", OURS)).names == (OURS,)


def test_escapes_that_only_json_has_are_no_obstacle():
    text = json.dumps(config(provider("ecr", args=["\ud83d\ude00 / \x7f"]))).replace("/ ", "\\/ ")
    after = parse(parse(text).with_providers([ENTRY]))
    assert after.providers == [*parse(text).providers, ENTRY]


def test_what_cannot_be_changed_without_changing_others_is_refused():
    text = AKS.replace("futureField: {kept: yes}", "futureField: 0x1f")  # no number that we could write again
    parse(parse(text).with_providers([ENTRY]))  # beside it nothing is touched
    only = EMPTY.replace("providers: []", "future: 1.50\nproviders: []")
    with pytest.raises(ConfigurationError) as caught:
        parse(only).with_providers([ENTRY])
    assert "mode files-only" in caught.value.remedy


@pytest.mark.parametrize(
    "text", ["", "[]", "kind: Config\n", "\xff", EMPTY.replace("[]", "x"), EMPTY.replace("[]", "[x]"), "{", "a: b: c"]
)
def test_what_is_no_config_is_refused_with_its_name(text):
    with pytest.raises(ConfigurationError, match="/etc/p") as caught:
        parse(text.encode("latin-1"))
    assert "/etc/p" in caught.value.remedy


@pytest.mark.parametrize("word", ["y", "N", "1e3", "0o17", "0x1f", "1_000", ".5", "on", "~", "", "2001-01-01", "1:30"])
@pytest.mark.parametrize("text", [AKS, EMPTY], ids=["beside others", "alone"])
def test_words_that_go_takes_for_numbers_are_quoted(word, text):
    entry = {**ENTRY, "args": [word, "--x"]}
    assert parse(parse(text).with_providers([entry])).providers[-1] == entry


def test_a_file_of_our_own_fits_the_kubelet():
    document = yaml.safe_load(fresh([ENTRY], (1, 34)))
    assert document == config(ENTRY)
    old = fresh([provider(OURS, apiVersion=V1.replace("/v1", "/v1beta1"))], (1, 25))
    assert not problems({"p": old}, (1, 25), is_directory=False, executables=[OURS])


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
PROVIDERS = st.lists(
    st.fixed_dictionaries(
        {"name": WORDS.filter(lambda name: not name.startswith(OURS))},
        optional={
            "matchImages": st.lists(WORDS, max_size=3),
            "args": st.lists(WORDS, max_size=3),
            "x": WORDS,
            "y": st.none(),
            "z": st.booleans(),
        },
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda each: each["name"],
)
WRITERS = (
    json.dumps,
    lambda value: json.dumps(value, indent=2, ensure_ascii=False) + "\n",
    lambda value: json.dumps(value, indent="\t"),
    lambda value: yaml.safe_dump(value, sort_keys=False),
    lambda value: yaml.safe_dump(value, indent=4, allow_unicode=True, width=30).rstrip("\n"),
    lambda value: yaml.safe_dump(value, default_flow_style=None, sort_keys=False),
)


@given(providers=PROVIDERS, write=st.sampled_from(WRITERS), is_last=st.booleans())
def test_whatever_others_wrote_survives_our_coming_and_going(providers, write, is_last):
    value = config(*providers)
    if not is_last:
        value["zzz"] = {"later": ["x"]}
    data = write(value).encode()
    document = Document.parse(data, "p")
    assume(document.text.value == value)  # Python's YAML leaves quotes away where Go's needs them
    with_ours = Document.parse(document.with_providers([ENTRY, TOKEN_ENTRY]), "p")
    assert with_ours.text.value == {**value, "providers": [*providers, ENTRY, TOKEN_ENTRY]}
    assert with_ours.without_providers([OURS, f"{OURS}-token"]) == data


@pytest.mark.parametrize("case", [case for case in CASES if not case.is_directory], ids=lambda case: case.name[:60])
def test_no_config_of_the_table_makes_the_editor_stumble(case):
    (name, data), *_ = case.files.items()
    try:
        after = Document.parse(data, name).with_providers([ENTRY])
    except ConfigurationError:  # with a remedy, as the type wants it
        return
    before = problems(case.files, (1, 36), is_directory=False, executables=PROGRAMS)
    now = problems({name: after}, (1, 36), is_directory=False, executables=PROGRAMS)
    assert bool(now) == bool(before) or case.name.startswith(("no providers", "an empty list"))
