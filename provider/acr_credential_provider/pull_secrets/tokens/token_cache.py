"""The controller's tokens: one for each registry entry, fetched once, shared by all namespaces and replicas.

An entry whose renewal fails keeps its token until that expires, and no other entry notices. If another identity is to
ask for the same instance, the old token is due at once and serves until the new one is here.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from acr_credential_provider.model.authorization_token import AuthorizationToken
from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import CredentialProviderError, ThrottledError
from acr_credential_provider.pull_secrets.model.content import EntryLogins
from acr_credential_provider.pull_secrets.model.decoding import UNDECODABLE
from acr_credential_provider.pull_secrets.model.dockerconfigjson import places
from acr_credential_provider.pull_secrets.model.registry_names import entry_of
from acr_credential_provider.pull_secrets.model.telemetry import TokenState
from acr_credential_provider.settings.identities import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from acr_credential_provider.model.authorization_token import AuthorizationGrant
    from acr_credential_provider.settings import Identity, ProviderSettings, Registry
    from acr_credential_provider.sources.basic_auth import BasicAuth

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds before an entry that failed is tried again; doubled each time, jittered."""
COALESCE_WINDOW = 300.0
"""Seconds by which tokens are renewed sooner when another one is: each new content is a write in every namespace."""
FORMAT = 1
HOUR = 3600.0
NEVER = 1e12
"""A time that no clock reaches, which JSON has as it is."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A new token of one entry, and the *hosts* that ACR lists if the settings name none."""

    grant: AuthorizationGrant
    region: str
    hosts: tuple[str, ...]


class Token(
    msgspec.Struct,
    frozen=True,
    rename={"principal": "who", "issued_at": "got_at", "refresh_at": "due_at", "expires_at": "dead_at"},
):
    """One entry's token, as the state Secret has it. *principal* is a digest of the settings that decide who asks."""

    entry: str
    principal: str
    username: str
    password: str
    issued_at: float
    refresh_at: float
    expires_at: float
    region: str
    hosts: tuple[str, ...]

    def __repr__(self) -> str:
        """Return it without its password."""
        return f"Token({self.entry!r}, expires_at={self.expires_at!r})"


class _Shared(msgspec.Struct):
    """The format of `TokenCache.encode`. Without *remembers_from*, all tokens are in it."""

    format: int
    tokens: list[Token]
    remembers_from: float = 0.0


_SHARED = msgspec.json.Decoder(_Shared)  # made once, before there are threads: see `kube.informer`


class TokenCache:
    """Safe for use by many threads. *clock* is local time, *draw* spreads what would come together."""

    def __init__(self, *, clock: Callable[[], float], draw: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._draw = draw
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._logins: dict[tuple[str, str], BasicAuth] = {}
        self._principals: dict[str, str] = {}
        self._remembers_from = clock()
        """From when on all tokens that were granted are known here; older ones may be in namespaces' Secrets."""

    def set_helper_running(self, is_running: bool) -> None:
        """Note whether another controller writes Secrets that are to be taken over: its tokens are unknown here."""
        self._remembers_from = NEVER if is_running else min(self._remembers_from, self._clock())

    def set_expected(self, settings: ProviderSettings, keys: Mapping[str, str]) -> None:
        """Note who is to ask for each entry; *keys* are the contents of key files in an acr-configuration."""
        digest = hashlib.sha256(json.dumps(dict(keys), sort_keys=True).encode()).hexdigest() if keys else ""
        with self._lock:
            principals = {}
            for registry in settings.registries:
                key = digest if registry.identity.key_files else ""
                principals[entry_of(registry)] = hashlib.sha256((_fields(registry) + key).encode()).hexdigest()[:16]
            self._failures = {
                entry: failure
                for entry, failure in self._failures.items()
                if entry in principals and self._principals.get(entry) in (None, principals[entry])
            }
            self._principals = principals

    def due(self, settings: ProviderSettings) -> list[Registry]:
        """Return the entries to fetch now: if one is due, those that soon will be come along."""
        now = self._clock()
        with self._lock:
            registries = _of_acr(settings)
            if all(self._next(entry_of(registry)) > now for registry in registries):
                return []
            return [registry for registry in registries if self._next(entry_of(registry), together=True) <= now]

    def next_due(self, settings: ProviderSettings) -> float:
        """Return the time of the next fetch, or of the next expiry of a token."""
        with self._lock:
            now = self._clock()
            due = [self._next(entry_of(registry)) for registry in _of_acr(settings)]
            expiries = [token.expires_at for token in self._tokens.values() if token.expires_at > now]
            return min([*due, *expiries, now + HOUR])

    def _next(self, entry: str, *, together: bool = False) -> float:
        token = self._tokens.get(entry)
        due = float("-inf")
        # Issued in the future: the clock was set back, and its word on this token is worth nothing.
        if token and token.issued_at <= self._clock() + 60.0 and token.principal == self._principals.get(entry):
            due = token.refresh_at
        if token is not None and together:
            due -= min(COALESCE_WINDOW, (token.expires_at - token.issued_at) / 10)
        return max(due, self._failures.get(entry, (0, float("-inf")))[1])

    def keep(self, registry: Registry, fetched: Fetched) -> None:
        """Take in a new token; raise `RegistryRefusedError` if it is not valid."""
        now = self._clock()
        token = AuthorizationToken.from_grant(
            fetched.grant, now=now, refresh_before=registry.refresh_before, jitter=self._draw()
        )
        entry = entry_of(registry)
        with self._lock:
            self._failures.pop(entry, None)
            self._tokens[entry] = Token(
                entry=entry,
                principal=self._principals.get(entry, ""),
                username=token.username,
                password=token.password,
                issued_at=now,
                refresh_at=token.refresh_at,
                expires_at=token.expires_at,
                region=fetched.region,
                hosts=fetched.hosts,
            )

    def fail(self, registry: Registry, error: CredentialProviderError) -> None:
        """Note that *registry* failed; it is tried again after a pause."""
        entry = entry_of(registry)
        with self._lock:
            count = self._failures.get(entry, (0, 0.0))[0] + 1
            pause = min(FIRST_PAUSE * 2.0 ** min(count - 1, 16), LONGEST_PAUSE) * (0.5 + self._draw() / 2)
            if isinstance(error, ThrottledError):
                pause = max(pause, min(error.retry_after, LONGEST_PAUSE), error.cool_down or 0.0)
            self._failures[entry] = count, self._clock() + pause

    def hosts_of(self, registry: Registry) -> tuple[str, ...]:
        """Return the hosts that ACR listed when the present token was fetched."""
        with self._lock:
            token = self._tokens.get(entry_of(registry))
            return token.hosts if token is not None else ()

    def entries(
        self,
        settings: ProviderSettings,
        *,
        read: Callable[[str, str], BasicAuth],
        on_failure: Callable[[Registry, CredentialProviderError], None],
    ) -> list[EntryLogins]:
        """Return the valid logins of each entry, in the order of the settings.

        *read* reads the two files of a ``basicAuth`` entry. If it fails, *on_failure* is told, and what was read last
        is used.
        """
        return [
            self._of_files(registry, registry.identity, read, on_failure)
            if not registry.identity.traits.asks_cloud
            else self._of_token(registry)
            for registry in settings.registries
        ]

    def _of_files(
        self,
        registry: Registry,
        identity: Identity,
        read: Callable[[str, str], BasicAuth],
        on_failure: Callable[[Registry, CredentialProviderError], None],
    ) -> EntryLogins:
        files = identity.username_file, identity.password_file
        try:
            self._logins[files] = read(*files)
        except CredentialProviderError as error:
            on_failure(registry, error)
        login = self._logins.get(files)
        region = registry.region or ""
        hosts = tuple(places(registry, region=region, listed=()))
        if login is None:
            return EntryLogins(registry.instance_id, region, (), unknown_at=hosts)
        logins = tuple((host, login.username, login.password) for host in hosts)
        return EntryLogins(registry.instance_id, region, logins)

    def _of_token(self, registry: Registry) -> EntryLogins:
        now = self._clock()
        with self._lock:
            token = self._tokens.get(entry_of(registry))
        region = registry.region or ""
        if token is None:
            is_unknown = now < self._remembers_from + _longest_life(registry)
            return EntryLogins(registry.instance_id, region, (), unknown_at=None if is_unknown else ())
        if now >= token.expires_at:
            return EntryLogins(registry.instance_id, region, ())
        hosts = places(registry, region=token.region, listed=token.hosts)
        logins = tuple((host, token.username, token.password) for host in hosts)
        return EntryLogins(registry.instance_id, region or token.region, logins)

    def states(self, settings: ProviderSettings) -> list[TokenState]:
        """Return the times of each entry's token; a ``basicAuth`` entry has none."""
        with self._lock:
            tokens = [(display_name(registry), self._tokens.get(entry_of(registry))) for registry in _of_acr(settings)]
        return [
            TokenState(name, token.issued_at, token.expires_at) if token else TokenState(name, 0.0, 0.0)
            for name, token in tokens
        ]

    def encode(self) -> str:
        """Return the tokens as JSON, for the Secret that all replicas watch.

        Expired ones are among them: a replica that knows that a token expired takes it out of the namespaces' Secrets.
        """
        with self._lock:
            tokens = [token for _, token in sorted(self._tokens.items())]
        return msgspec.json.encode(_Shared(FORMAT, tokens, self._remembers_from)).decode()

    def merge(self, text: str) -> bool:
        """Take in what another replica wrote, where it is newer; True if anything was. Other formats are ignored."""
        try:
            shared = _SHARED.decode(text)
        except UNDECODABLE:
            return False
        if shared.format != FORMAT:
            return False
        with self._lock:
            self._remembers_from = shared.remembers_from
            news = {
                token.entry: token
                for token in shared.tokens
                if token.entry not in self._tokens or self._tokens[token.entry].issued_at < token.issued_at
            }
            self._tokens |= news
        return bool(news)

    def forget(self, entries: Iterable[str]) -> None:
        """Drop the tokens of all but these *entries*."""
        wanted = set(entries)
        with self._lock:
            self._tokens = {entry: token for entry, token in self._tokens.items() if entry in wanted}


def _of_acr(settings: ProviderSettings) -> list[Registry]:
    """Return the entries for which ACR is asked, each once."""
    registries: dict[str, Registry] = {}
    for registry in settings.registries:
        if registry.identity.traits.asks_cloud:
            registries.setdefault(entry_of(registry), registry)
    return list(registries.values())


def _longest_life(registry: Registry) -> float:
    """Return the seconds for which a token of *registry* may live: an hour, unless its settings ask for more."""
    session = registry.assume_role[-1] if registry.assume_role else registry.identity
    return max(registry.token_duration or 0, session.session_duration or 0, HOUR)


def _fields(registry: Registry) -> str:
    """Return the settings that decide who asks, in a form that must not change.

    An installed version has digests of it in the state Secret: with another form, each upgrade would fetch every token
    anew and write every Secret.
    """
    names = {"allow_imds_v1": "allow_metadata_v1"}
    fields = {name: getattr(registry.identity, name) for name in fields_of(registry.identity.kind)}
    form = {
        "identity": {names.get(name, name): value for name, value in fields.items()},
        "assume_role": [hop._asdict() for hop in registry.assume_role],
        "token_duration": registry.token_duration,
        "endpoints": {"acr": registry.acr_endpoint},
    }
    return json.dumps(form, separators=(",", ":"), ensure_ascii=False)
