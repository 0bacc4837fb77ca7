"""docker's config.json and podman's auth.json: the logins in it, or one error."""

import json
from base64 import b64decode

from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.openshift import docker_config
from fuzz.promises import check_error, check_text


def fuzz(data):
    try:
        config = docker_config.parse(data, source="~/.docker/config.json")
        check_text(*config.notes)
        merged = docker_config.merged([config])
        written = docker_config.encode(merged)
    except ConfigurationError as error:
        check_error(error)
        return
    assert merged == config.logins
    auths = json.loads(written)["auths"]
    assert set(auths) == set(config.logins)
    for key, login in config.logins.items():
        assert b64decode(auths[key]["auth"]).decode() == f"{login.username}:{login.password}"
