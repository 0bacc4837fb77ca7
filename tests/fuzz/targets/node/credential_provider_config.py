"""A CredentialProviderConfig: read as PyYAML or the standard library's JSON reads it; others' entries survive ours."""

import json

import yaml
from acr_credential_provider.kubelet import config_validation
from acr_credential_provider.kubelet.go_yaml import Number, ParseError, read
from acr_credential_provider.model.errors import ConfigurationError
from acr_node_config.kubelet_config.document import Document
from fuzz.promises import check_error, check_problems, check_text

OURS = {"name": "ours", "matchImages": ["a.example.com"], "defaultCacheDuration": "0s", "apiVersion": "v1"}
RULES = (config_validation.ANY_KUBELET, config_validation.KubeletRules.of((1, 25)))


def fuzz(data):
    for rules in RULES:
        check_problems(config_validation.check({"/etc/a.yaml": data}, rules, is_directory=False, executables=["ours"]))
    try:
        text = read(data)
    except ParseError as error:
        check_text(error.problem)
        return
    check_judge(data.decode(), text)
    try:
        document = Document.parse(data, "/etc/a.yaml")
        after = Document.parse(document.with_providers([OURS]), "/etc/a.yaml")
        back = Document.parse(after.without_providers(["ours"]), "/etc/a.yaml") if len(after.names) > 1 else None
    except ConfigurationError as error:
        check_error(error)
        return
    assert [entry for entry in after.providers if entry.get("name") == "ours"]
    assert [entry for entry in after.providers if entry.get("name") != "ours"] == others(document)
    assert back is None or back.providers == others(document)


def others(document):
    return [entry for entry in document.providers if entry.get("name") != "ours"]


def check_judge(text, ours):
    if ours.is_json:
        assert repr(ours.value) == repr(json.loads(text))
        return
    assert same(ours.value, yaml.load(text, Loader=yaml.CBaseLoader), ours.value)


def same(ours, theirs, whole):
    """True if both have the same shape and the same texts; a type is Go's affair, and tested with Go."""
    if isinstance(ours, dict):
        return isinstance(theirs, dict) and all(
            key in theirs and same(value, theirs[key], whole) for key, value in ours.items()
        )
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(same(*pair, whole) for pair in zip(ours, theirs, strict=True))
    if ours is None or isinstance(ours, bool):
        return isinstance(theirs, str) or whole is None
    if isinstance(ours, Number):
        return ours.written == theirs
    return str(ours) == theirs
