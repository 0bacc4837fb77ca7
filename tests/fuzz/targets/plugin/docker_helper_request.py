"""A container client's request: a server's name, as it types it."""

from acr_credential_provider.exec.docker_credential_helper import registry_at
from acr_credential_provider.model.errors import InvalidImageError
from acr_credential_provider.model.image_reference import registry_of, scope_of
from fuzz.promises import check_error


def fuzz(data):
    host = registry_at(data.decode("utf-8", "replace"))
    assert "/" not in host
    assert host == host.lower()
    try:
        registry = registry_of(f"{host}/any")
        scope_of(f"{host}/any")
    except InvalidImageError as error:
        check_error(error)
        return
    assert registry == host
    assert registry.isascii()
    assert registry.isprintable()
