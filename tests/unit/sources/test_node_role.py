from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from acr_credential_provider.cloud.imds import Imds
from acr_credential_provider.cloud.proxy import ProxySettings
from acr_credential_provider.cloud.transport import Bounds, Transport
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import IdentityUnavailableError
from acr_credential_provider.sources.node_role import NodeRoleSource
from unit.cloud.fake_metadata import serve, session
from unit.cloud.loopback import answer, serving
from unit.cloud.safety import CANARY
from unit.sources.contract import SourceContract
from unit.sources.stage import find


def a_source(server, role="", **kwargs):
    transport = Transport(Deadline(5.0), proxy=ProxySettings(), bounds=Bounds(connect=0.3))
    metadata = Imds(transport, endpoint=server.url, bound=0.4, **kwargs)
    return NodeRoleSource(SimpleNamespace(metadata=lambda *, allow_v1: metadata), role)


class TestNodeRole(SourceContract):
    @pytest.fixture
    def working(self):
        with serve() as server:
            yield a_source(server)

    @pytest.fixture
    def failing(self):
        with ExitStack() as stack:
            yield [
                a_source(stack.enter_context(serve(role=""))),
                a_source(stack.enter_context(serve()), "another-role"),
                a_source(stack.enter_context(serve(credential=session(Code=CANARY)))),
                a_source(stack.enter_context(serve(knows_tokens=False, hardened=False))),
                a_source(stack.enter_context(serving(answer(403, CANARY.encode())))),
            ]


def test_the_role_is_found_by_itself():
    with serve(role="any-role") as server:
        assert find(a_source(server)).access_key_id == "STS.id"


def test_a_configured_role_is_not_looked_up():
    with serve() as server:
        find(a_source(server, "node-role"))

    assert [head.split()[1] for head in server.requests] == [
        "/latest/api/token",
        "/latest/meta-data/ram/security-credentials/node-role",
    ]


def test_a_configured_role_is_never_replaced_by_the_attached_one():
    with serve(role="attached") as server, pytest.raises(IdentityUnavailableError, match="wanted"):
        find(a_source(server, "wanted"))
