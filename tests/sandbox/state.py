"""What the pretended cloud knows: access keys, instances, the node's RAM role, and the logins it minted."""

from __future__ import annotations

import base64
import json
import secrets
import string
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from . import ram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .clock import SandboxClock
    from .oci import OciImage
    from .oidc import OidcProvider

ACCOUNT = "1234567890123456"
EVERY_ACTION = frozenset({"cr:GetAuthorizationToken", "cr:ListInstanceEndpoint", "cr:PullRepository"})
PERSONAL = "26842"
"""What the Personal Edition's registries call themselves in a challenge, where Enterprise instances have their ID."""
ALPHABET = string.ascii_letters + string.digits


def personal_id(region: str) -> str:
    """Return what stands for the Personal Edition in *region*, whose logins are for that region's registry alone."""
    return f"{region}:{PERSONAL}"


def random_text(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


@dataclass(frozen=True)
class Principal:
    """Who acts, and what RAM allows it. *instances* None means all of the account's.

    *policies*, when given, are RAM policy documents and decide instead of *actions* and
    *instances*; a *session_policy* narrows whatever they allow.
    """

    name: str
    kind: str = "SubUser"
    account: str = ACCOUNT
    actions: frozenset[str] = EVERY_ACTION
    instances: frozenset[str] | None = None
    policies: tuple[dict[str, Any], ...] | None = field(default=None, hash=False)
    session_policy: dict[str, Any] | None = field(default=None, hash=False)
    session_name: str = ""

    def may(self, action: str, instance_id: str = "", *, resource: str = "*") -> bool:
        """Say whether RAM allows *action* on *resource* (an ARN, "*" for actions that have none)."""
        if self.session_policy is not None and not ram.allows([self.session_policy], action, resource):
            return False
        if self.policies is not None:
            return ram.allows(self.policies, action, resource)
        return action in self.actions and (self.instances is None or not instance_id or instance_id in self.instances)

    @property
    def arn(self) -> str:
        return f"acs:ram::{self.account}:{'user' if self.kind == 'SubUser' else 'role'}/{self.name}"


@dataclass(frozen=True)
class Role:
    """A RAM role: who may assume it, for how long (seconds), and what it may then do."""

    name: str
    trust: dict[str, Any] = field(hash=False)
    account: str = ACCOUNT
    policies: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    max_session_duration: int = 3600

    @property
    def arn(self) -> str:
        return f"acs:ram::{self.account}:role/{self.name}"


@dataclass(frozen=True)
class AccessKey:
    """A key that signs calls. One with a *security_token* is an STS session and ends at *expires_at*."""

    id: str
    secret: str = field(repr=False)
    principal: Principal
    security_token: str = field(default="", repr=False)
    expires_at: float | None = None


@dataclass(frozen=True)
class Endpoint:
    """One network entrance of an instance. Domain types: SYSTEM, USER (a custom domain)."""

    kind: str
    domains: tuple[tuple[str, str], ...]
    enabled: bool = True


@dataclass(frozen=True)
class Instance:
    """An instance and the repositories in it; each holds what *images* has for it, or else `small_image`.

    An instance is in one region and of one account. *public* repositories are for everyone, but not for those who
    show a login that is not good. On a registry that accounts share, *owners* says whose a namespace is (an account);
    one that is not there is open to all.
    """

    id: str
    name: str
    region: str
    account: str = ACCOUNT
    endpoints: tuple[Endpoint, ...] = ()
    repositories: tuple[str, ...] = ("team/app",)
    public: tuple[str, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict, compare=False)
    images: Mapping[str, OciImage] = field(default_factory=dict, compare=False)

    @classmethod
    def personal(cls, region: str = "cn-hangzhou") -> Instance:
        """Return the shared registry of the Personal Edition in *region*, with Alibaba Cloud's own public images."""
        hosts = [f"registry{network}.{region}.aliyuncs.com" for network in ("", "-vpc", "-internal")]
        endpoints = (Endpoint("internet", tuple((host, "SYSTEM") for host in hosts)),)
        repositories = ("team/app", "acs/pause")
        return cls(
            personal_id(region), "", region, endpoints=endpoints, repositories=repositories, public=("acs/pause",)
        )

    @classmethod
    def usual(cls, instance_id: str, name: str = "sandbox", region: str = "cn-hangzhou") -> Instance:
        """Return an instance with one public and one VPC entrance, named as ACR names them."""
        return cls(
            instance_id,
            name,
            region,
            endpoints=(
                Endpoint("internet", ((f"{name}-registry.{region}.cr.aliyuncs.com", "SYSTEM"),)),
                Endpoint("vpc", ((f"{name}-registry-vpc.{region}.cr.aliyuncs.com", "SYSTEM"),)),
            ),
        )

    @property
    def arn(self) -> str:
        return f"acs:cr:{self.region}:{self.account}:instance/{self.id}"

    def repository_arn(self, repository: str) -> str:
        return f"acs:cr:{self.region}:{self.account}:repository/{self.id.rpartition(':')[2]}/{repository}"

    @property
    def service(self) -> str:
        """The service that its registry names in a challenge."""
        place = f"{self.region}:china:" if self.name else ""  # the Personal Edition's ID says the region itself
        return f"registry.aliyuncs.com:{place}{self.id}"


@dataclass(frozen=True)
class Login:
    """A registry login that this cloud handed out."""

    username: str
    password: str = field(repr=False)
    instance_id: str
    expires_at: float
    access_key_id: str
    principal: Principal


class CloudState:
    """Everything the servers share, behind one lock. Times are seconds by the sandbox's clock.

    *token_life*, when set, is the life in seconds of every registry login, whatever was asked for.
    """

    def __init__(self, clock: SandboxClock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.token_life: float | None = None
        self.session_life = 6 * 3600.0
        self._keys: dict[str, AccessKey] = {}
        self._instances: dict[str, Instance] = {}
        self._hosts: dict[str, str] = {}
        self._logins: dict[str, Login] = {}
        self._roles: dict[str, Role] = {}
        self._oidc_providers: dict[str, OidcProvider] = {}
        self._nonces: dict[tuple[str, str], float] = {}

    # Who may call.
    def add_key(self, principal: Principal, key_id: str = "", secret: str = "") -> AccessKey:
        key = AccessKey(key_id or "LTAI5t" + random_text(18), secret or random_text(30), principal)
        with self.lock:
            self._keys[key.id] = key
        return key

    def remove_key(self, key_id: str) -> None:
        with self.lock:
            self._keys.pop(key_id, None)

    def open_session(self, principal: Principal, life: float) -> AccessKey:
        """Mint STS credentials for *principal* that live for *life* seconds."""
        key = AccessKey(
            "STS." + random_text(24),
            random_text(44),
            principal,
            # Real ones hold "+", "/" and "=": they must survive every header and form on the way.
            security_token="CAIS" + base64.b64encode(secrets.token_bytes(360)).decode() + "+/==",
            expires_at=self.clock.now() + life,
        )
        with self.lock:
            self._keys[key.id] = key
        return key

    def add_role(self, role: Role) -> Role:
        """Add or replace *role*; sessions that it gave are judged as they were."""
        with self.lock:
            self._roles[role.arn.lower()] = role
        return role

    def find_role(self, arn: str) -> Role | None:
        with self.lock:
            return self._roles.get(arn.lower())

    def add_oidc_provider(self, provider: OidcProvider) -> OidcProvider:
        with self.lock:
            self._oidc_providers[provider.arn] = provider
        return provider

    def remove_oidc_provider(self, arn: str) -> None:
        with self.lock:
            self._oidc_providers.pop(arn, None)

    def find_oidc_provider(self, arn: str) -> OidcProvider | None:
        with self.lock:
            return self._oidc_providers.get(arn)

    def find_key(self, key_id: str) -> AccessKey | None:
        with self.lock:
            return self._keys.get(key_id)

    def all_keys(self) -> list[AccessKey]:
        """Return every key and session there is: what no text may ever show."""
        with self.lock:
            return list(self._keys.values())

    def use_nonce(self, key_id: str, nonce: str, *, keep: float) -> bool:
        """Remember *nonce* for *keep* seconds; say whether it was new."""
        now = self.clock.now()
        with self.lock:
            if self._nonces.get((key_id, nonce), 0.0) > now:
                return False
            if len(self._nonces) > 10_000:
                self._nonces = {known: until for known, until in self._nonces.items() if until > now}
            self._nonces[key_id, nonce] = now + keep
            return True

    def secrets(self) -> set[str]:
        """Return everything that was ever secret here and must be in no log."""
        with self.lock:
            keys, logins = list(self._keys.values()), list(self._logins.values())
        texts = {text for key in keys for text in (key.secret, key.security_token)}
        return (texts | {login.password for login in logins}) - {""}

    # What there is.
    def add_instance(self, instance: Instance, *hosts: str) -> Instance:
        """Add or replace *instance*; its own domains and *hosts* (host[:port]) lead to it."""
        domains = [domain for endpoint in instance.endpoints for domain, _ in endpoint.domains]
        with self.lock:
            self._instances[instance.id] = instance
            self._hosts.update(dict.fromkeys([*domains, *hosts], instance.id))
        return instance

    def add_custom_domain(self, instance_id: str, domain: str, kind: str = "internet") -> Instance:
        """Add *domain* as a USER domain of the entrance *kind*, as ListInstanceEndpoint shows it."""
        with self.lock:
            instance = self._instances[instance_id]
            endpoints = tuple(
                replace(endpoint, domains=(*endpoint.domains, (domain, "USER"))) if endpoint.kind == kind else endpoint
                for endpoint in instance.endpoints
            )
            return self.add_instance(replace(instance, endpoints=endpoints))

    def find_instance(self, instance_id: str, *, account: str, region: str) -> Instance | None:
        """Return the instance as *account* sees it from *region*: another account's or region's does not exist."""
        with self.lock:
            instance = self._instances.get(instance_id)
        return instance if instance and (instance.account, instance.region) == (account, region) else None

    def instances(self) -> list[Instance]:
        with self.lock:
            return list(self._instances.values())

    def instance_at(self, host: str) -> Instance | None:
        """Return the instance behind the registry host *host*, with or without its port."""
        with self.lock:
            for name in (host, host.rpartition(":")[0]):
                if name in self._hosts:
                    return self._instances.get(self._hosts[name])
        return None

    def addresses_of(self, instance_id: str) -> list[str]:
        """Return every host[:port] that leads to the instance."""
        with self.lock:
            return [host for host, known in self._hosts.items() if known == instance_id]

    # What it handed out.
    def mint_login(self, key: AccessKey, instance_id: str, *, life: float) -> Login:
        """Mint a registry login that lives *life* seconds, but never longer than the STS session behind it."""
        now = self.clock.now()
        expires_at = now + (life if self.token_life is None else self.token_life)
        if key.expires_at is not None:
            expires_at = min(expires_at, key.expires_at)
        claims = {"instanceId": instance_id, "time": int(expires_at * 1000), "type": "sub", "userId": random_text(18)}
        password = base64.b64encode(json.dumps(claims).encode()).decode() + ":" + secrets.token_hex(20)
        login = Login("cr_temp_user", password, instance_id, expires_at, key.id, key.principal)
        with self.lock:
            self._logins[password] = login
        return login

    def find_login(self, username: str, password: str) -> Login | None:
        """Return the login if it was minted here and still lives."""
        with self.lock:
            login = self._logins.get(password)
        return login if login and login.username == username and login.expires_at > self.clock.now() else None

    def life_left(self, password: str) -> float:
        """Return how many seconds a login still lives, 0 for one that does not."""
        with self.lock:
            login = self._logins.get(password)
        return max(login.expires_at - self.clock.now(), 0.0) if login else 0.0

    def revoke_logins(self) -> None:
        """Forget every login: what a registry does to a leaked one."""
        with self.lock:
            self._logins.clear()
