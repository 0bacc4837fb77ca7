"""The kubelet's request: decoded alike by the fast path and by the slow one, and as the standard library reads JSON."""

import json
import tempfile
from typing import ClassVar
from unittest import mock

from acr_credential_provider.fastpath import lookup
from acr_credential_provider.fastpath.cpython import parse_json
from acr_credential_provider.model.errors import InvalidImageError, InvalidRequestError
from acr_credential_provider.model.protocol import CredentialProviderRequest
from acr_credential_provider.model.question import Question
from fuzz.promises import check_error

OPTIONS = {"--settings": "/etc/acr.yaml", "--cache": tempfile.gettempdir() + "/acr-fuzz-nowhere"}


class EmptyCache:
    """Has nothing, and remembers what it was asked for."""

    asked: ClassVar[list] = []

    def __init__(self, _folder):
        self.asked.clear()

    def get(self, key, *, is_used):
        assert is_used
        self.asked.append(key)


def fuzz(data):
    EmptyCache.asked.clear()
    with mock.patch.object(lookup, "ResponseCache", EmptyCache):  # the one object that the fast path makes itself
        assert lookup.lookup(data, OPTIONS) is None
    check_json(data)
    try:
        question = Question(CredentialProviderRequest.decode(data), OPTIONS["--settings"])
    except InvalidRequestError as error:
        check_error(error)
        assert not EmptyCache.asked
        return
    except InvalidImageError as error:  # such a host is in no cache entry
        check_error(error)
        return
    request = json.loads(data)
    assert question.request.image == request["image"]
    assert question.scope.partition("/")[0] == request["image"].partition("/")[0]
    assert EmptyCache.asked in ([question.key], [])


def check_json(data):
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    try:
        ours = parse_json(text)
    except ValueError:
        ours = ValueError
    try:
        theirs = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        theirs = ValueError
    assert repr(ours) == repr(theirs)


def refuse(constant):
    raise ValueError(constant)
