"""The cases that every client of registries runs: which login of the sandbox pulls what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sandbox.oci import small_image
from sandbox.state import Instance, Principal

from .cloud import failed, result

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox import AcrSandbox
    from sandbox.state import Login

    from .callers import Caller

CLIENTS = ("containerd", "crane", "docker")


@dataclass(frozen=True)
class Pulls:
    """The sandbox as one case has it, and *client* that pulls from it."""

    sandbox: AcrSandbox
    client: str
    caller: Caller

    def login(self, life: float = 3600.0, **rights: Any) -> Login:
        key = self.sandbox.state.add_key(Principal("sdk-user", **rights))
        return self.sandbox.state.mint_login(key, self.sandbox.instance.id, life=life)

    def pull(self, login: Login, image: str | None = None) -> dict[str, Any]:
        image = image or self.sandbox.image
        call = {"do": self.client, "image": image, "username": login.username, "password": login.password}
        return self.caller.ask(call)

    def pulled(self, answer: dict[str, Any]) -> None:
        """Check that the whole image came: its digest, and each of its blobs."""
        assert result(answer)["digest"] == small_image().digest
        read = {call.path.rpartition("/")[2] for call in self.sandbox.calls.all("registry.blob")}
        assert read == set(small_image().blobs)

    def refused(self, answer: dict[str, Any]) -> None:
        """Check that the client gave up because it got no token for its login."""
        failed(answer)
        assert [call.status for call in self.sandbox.calls.all("registry.auth") if call.method == "GET"][-1] == 401
        assert self.sandbox.calls.count("registry.blob") == 0


@dataclass(frozen=True)
class RegistryCase:
    name: str
    run: Callable[[Pulls], None]


CASES: list[RegistryCase] = []


def case(name: str) -> Callable[[Callable[[Pulls], None]], None]:
    return lambda run: CASES.append(RegistryCase(name, run))


@case("a login pulls by tag: manifest, configuration and layers")
def _(pulls: Pulls) -> None:
    pulls.pulled(pulls.pull(pulls.login()))


@case("a login pulls by digest")
def _(pulls: Pulls) -> None:
    repository = pulls.sandbox.image.rpartition(":")[0]
    pulls.pulled(pulls.pull(pulls.login(), f"{repository}@{small_image().digest}"))


@case("a password that ACR did not grant is refused")
def _(pulls: Pulls) -> None:
    pulls.refused(pulls.pull(replace(pulls.login(), password="not-granted")))


@case("an ended login is refused")
def _(pulls: Pulls) -> None:
    pulls.refused(pulls.pull(pulls.login(life=-1.0)))


@case("a revoked login is refused")
def _(pulls: Pulls) -> None:
    login = pulls.login()
    pulls.sandbox.state.revoke_logins()
    pulls.refused(pulls.pull(login))


@case("another instance's login is refused")
def _(pulls: Pulls) -> None:
    other = pulls.sandbox.state.add_instance(Instance.usual("cri-other", name="other"))
    login = pulls.sandbox.state.mint_login(pulls.sandbox.key, other.id, life=3600.0)
    pulls.refused(pulls.pull(login))


@case("a login without cr:PullRepository is refused")
def _(pulls: Pulls) -> None:
    login = pulls.login(actions=frozenset({"cr:GetAuthorizationToken"}))
    answer = pulls.pull(login)
    failed(answer)
    assert pulls.sandbox.calls.count("registry.blob") == 0
    assert pulls.sandbox.calls.count("registry.auth") >= 1
