"""Settings that were validated once: the same values again, from the cache, and only while the file is the same."""

import json
import subprocess
import sys

import pytest
from acr_credential_provider.cache.cache_dirs import ensure
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.settings.loader import load as validated
from acr_credential_provider.settings.runtime import from_dict, to_dict
from acr_credential_provider.tokens import settings_cache

DOCUMENT = {
    "apiVersion": "aliyun-acr-credential-provider/v1",
    "kind": "ProviderSettings",
    "proxy": {"https": "http://proxy:3128", "noProxy": ["example.com"]},
    "log": "info",
    "pullSecrets": {"namespaces": ["team-*"]},
    "registries": [
        {"instanceId": "cri-1", "domains": ["a.example.com"], "identity": {"kind": "nodeRole", "allowImdsV1": True}},
        {
            "instanceId": "cri-2",
            "domains": ["b.example.com"],
            "identity": {
                "kind": "serviceAccount",
                "oidcProviderArn": "acs:ram::1:oidc-provider/ack-rrsa-c",
                "roles": [{"serviceAccounts": ["team/*"], "roleName": "pull"}],
            },
            "assumeRole": [{"roleArn": "acs:ram::2:role/b", "policy": {"Version": "1", "Statement": []}}],
            "endpoints": {"acr": "https://acr.example.com"},
        },
    ],
}

SAME = ("absent /nowhere",)
"""A fingerprint that holds."""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(json.dumps(DOCUMENT))
    path.chmod(0o600)
    return path


def test_cached_settings_are_the_validated_ones_without_the_controllers_section(path, tmp_path):
    ensure(f"{tmp_path}/cache")
    responses = CacheFolder(f"{tmp_path}/cache").responses
    expected = validated(str(path))._replace(pull_secrets=None)
    settings_cache.load(str(path), responses, SAME)
    path.write_text("not read any more")
    assert settings_cache.load(str(path), responses, SAME) == expected
    assert from_dict(json.loads(json.dumps(to_dict(expected)))) == expected


def test_a_change_of_a_file_ends_them(path, tmp_path):
    ensure(f"{tmp_path}/cache")
    responses = CacheFolder(f"{tmp_path}/cache").responses
    settings_cache.load(str(path), responses, SAME)
    path.write_text(json.dumps({**DOCUMENT, "log": "debug"}))
    assert settings_cache.load(str(path), responses, ("absent /nowhere/else",)).log == "debug"


def test_a_miss_with_cached_settings_loads_no_pydantic(path, tmp_path):
    ensure(f"{tmp_path}/cache")
    program = f"""
import sys
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.tokens import settings_cache, token_service
settings_cache.load({str(path)!r}, CacheFolder({f"{tmp_path}/cache"!r}).responses, ("absent /nowhere",))
print("pydantic" in sys.modules, "yaml" in sys.modules)
"""
    told = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert told == ["True True\n", "False False\n"]
