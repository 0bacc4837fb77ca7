"""Our entries, by the kubelet's version, into and out of files."""

import pytest
import yaml
from acr_credential_provider.kubelet.config_validation import problems
from acr_credential_provider.model.errors import ConfigurationError
from acr_node_config.kubelet_config.provider_entries import NAME, NAMES, TOKEN_NAME, entries, left_out, put_in, take_out
from support.kubelet_configs import TOKENS, YAML

NODE = {"matchImages": ["*.*.cr.aliyuncs.com"], "tokenMode": None}
BOTH = {**NODE, "tokenMode": {"matchImages": ["team.example.com"], "tokenAttributes": TOKENS}}
TOKEN_ONLY = {**BOTH, "matchImages": []}


def names(found):
    return [each["name"] for each in found]


@pytest.mark.parametrize("version", [(1, 24), (1, 26), (1, 30), (1, 33), (1, 34), (1, 36)], ids=str)
def test_the_file_fits_the_kubelet(version):
    data = put_in(None, "/p", entries(BOTH, version, ["--settings=/s"]), version)
    assert not problems({"/p": data}, version, is_directory=False, executables=NAMES)
    assert {each["args"][0] for each in yaml.safe_load(data)["providers"]} == {"--settings=/s"}


def test_tokens_come_with_1_34_and_what_that_costs_before_is_said():
    assert names(entries(BOTH, (1, 34))) == [NAME, TOKEN_NAME]
    assert names(entries(BOTH, (1, 33))) == [NAME]
    assert "team.example.com" in left_out(BOTH, (1, 33))
    assert "does not tell its version" in left_out(BOTH, None)
    assert left_out(BOTH, (1, 34)) == left_out(NODE, (1, 33)) == ""


def test_settings_that_cover_nothing_here_are_refused():
    assert names(entries(TOKEN_ONLY, (1, 34))) == [TOKEN_NAME]
    with pytest.raises(ConfigurationError) as caught:
        entries(TOKEN_ONLY, (1, 33))
    assert "1.34" in caught.value.remedy


def test_an_entry_that_is_no_longer_wanted_goes():
    both = put_in(YAML.encode(), "/p", entries(BOTH, (1, 34)), (1, 34))
    alone = put_in(both, "/p", entries(NODE, (1, 34)), (1, 34))
    assert names(yaml.safe_load(alone)["providers"]) == ["a", NAME]
    assert put_in(alone, "/p", entries(NODE, (1, 34)), (1, 34)) == alone


def test_what_was_put_into_others_file_is_taken_out_and_ours_alone_goes_whole():
    both = put_in(YAML.encode(), "/p", entries(BOTH, (1, 34)), (1, 34))
    assert take_out(both, "/p") == YAML.encode()
    assert take_out(put_in(None, "/p", entries(BOTH, (1, 34)), (1, 34)), "/p") is None
