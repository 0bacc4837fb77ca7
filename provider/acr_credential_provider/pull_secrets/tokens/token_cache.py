"""The living tokens: one for each entry of the settings, fetched once, shared by all namespaces and replicas.

An entry whose renewal fails keeps its token until that is dead, and no other entry notices. Where another identity
is to ask for the same instance, the old token is due at once and serves until the new one is here.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.authorization_token import AuthorizationToken
from acr_credential_provider.model.errors import CredentialProviderError, ThrottledError
from acr_credential_provider.pull_secrets.model.content import EntryLogins
from acr_credential_provider.pull_secrets.model.dockerconfigjson import places
from acr_credential_provider.pull_secrets.model.registry_names import display_name, entry_of
from acr_credential_provider.pull_secrets.model.reporter import TokenState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from acr_credential_provider.model.authorization_token import AuthorizationGrant
    from acr_credential_provider.settings import BasicAuthIdentity, ProviderSettings, Registry
    from acr_credential_provider.sources.basic_auth import BasicAuth

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds before an entry that failed is tried again; doubled each time, jittered."""
COALESCE_WINDOW = 300.0
"""Seconds by which tokens are renewed sooner when another one is: each new content is a write in every namespace."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the cloud gave for one entry: a login, and where it is good if the settings do not say so."""

    grant: AuthorizationGrant
    region: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """One entry's token. *who* is another text for each that may ask; it holds no secret."""

    entry: str
    who: str
    username: str
    password: str = field(repr=False)
    got_at: float
    due_at: float
    dead_at: float
    region: str
    hosts: tuple[str, ...]


class TokenCache:
    """The tokens that live, for any thread to ask. *clock* is local time, *draw* spreads what would come together."""

    def __init__(self, *, clock: Callable[[], float], draw: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._draw = draw
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._logins: dict[tuple[str, str], BasicAuth] = {}
        self._who: dict[str, str] = {}

    def set_expected(self, settings: ProviderSettings, keys: Mapping[str, str]) -> None:
        """Take note of who is to ask for each entry; *keys* are contents of key files that stand in the settings."""
        told = hashlib.sha256(json.dumps(dict(keys), sort_keys=True).encode()).hexdigest() if keys else ""
        with self._lock:
            who = {}
            for registry in settings.registries:
                fields = registry.model_dump_json(include={"identity", "assume_role", "token_duration", "endpoints"})
                mine = told if registry.identity.kind == "accessKey" else ""
                who[entry_of(registry)] = hashlib.sha256((fields + mine).encode()).hexdigest()[:16]
            changed = {entry for entry in who if self._who.get(entry) not in (None, who[entry])}
            self._failures = {e: each for e, each in self._failures.items() if e in who and e not in changed}
            self._who = who

    def due(self, settings: ProviderSettings) -> list[Registry]:
        """Return the entries that should be fetched now: those that are due, and then those that soon will be."""
        now = self._clock()
        with self._lock:
            asked = _asked(settings)
            if all(self._next(entry_of(each)) > now for each in asked):
                return []
            return [each for each in asked if self._next(entry_of(each), together=True) <= now]

    def next_due(self, settings: ProviderSettings) -> float:
        """Return the time of the next fetch, or of the next death of a token."""
        with self._lock:
            times = [self._next(entry_of(each)) for each in _asked(settings)]
            now = self._clock()
            return min([*times, *(each.dead_at for each in self._tokens.values() if each.dead_at > now), now + 3600.0])

    def _next(self, entry: str, *, together: bool = False) -> float:
        token = self._tokens.get(entry)
        # Got in the future: the clock was set back, and what it says of this token is worth nothing.
        is_believed = token is not None and token.got_at <= self._clock() + 60.0 and token.who == self._who.get(entry)
        due = token.due_at if token is not None and is_believed else float("-inf")
        if token is not None and together:
            due -= min(COALESCE_WINDOW, (token.dead_at - token.got_at) / 10)
        return max(due, self._failures.get(entry, (0, float("-inf")))[1])

    def keep(self, registry: Registry, fetched: Fetched) -> None:
        """Take in what the cloud gave; raise `RegistryRefusedError` for a token that is none."""
        now = self._clock()
        token = AuthorizationToken.from_grant(
            fetched.grant, now=now, refresh_before=registry.refresh_before, jitter=self._draw()
        )
        entry = entry_of(registry)
        with self._lock:
            self._failures.pop(entry, None)
            self._tokens[entry] = Token(
                entry=entry,
                who=self._who.get(entry, ""),
                username=token.username,
                password=token.password,
                got_at=now,
                due_at=token.refresh_at,
                dead_at=token.expires_at,
                region=fetched.region,
                hosts=fetched.hosts,
            )

    def fail(self, registry: Registry, error: CredentialProviderError) -> None:
        """Take note that *registry* failed; it is tried again after a pause."""
        entry = entry_of(registry)
        with self._lock:
            count = self._failures.get(entry, (0, 0.0))[0] + 1
            pause = min(FIRST_PAUSE * 2.0 ** min(count - 1, 16), LONGEST_PAUSE) * (0.5 + self._draw() / 2)
            if isinstance(error, ThrottledError):
                pause = max(pause, min(error.retry_after, LONGEST_PAUSE), error.cool_down or 0.0)
            self._failures[entry] = count, self._clock() + pause

    def hosts_of(self, registry: Registry) -> tuple[str, ...]:
        """Return the hosts that ACR listed when the kept token was fetched."""
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
        """Return what lives now, entry by entry in the order of the settings; one without a living login is there too.

        *read* reads a ``basicAuth`` entry's two files. *on_failure* gets the error of one that can't be read, and the
        login read last stays.
        """
        return [
            self._of_files(registry, registry.identity, read, on_failure)
            if registry.identity.kind == "basicAuth"
            else self._of_token(registry)
            for registry in settings.registries
        ]

    def _of_files(
        self,
        registry: Registry,
        identity: BasicAuthIdentity,
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
        where = places(registry, region=region, listed=())
        if login is None:
            return EntryLogins(registry.instance_id, region, (), is_known=False, may_fill=tuple(where), is_endless=True)
        return EntryLogins(
            registry.instance_id, region, tuple((each, login.username, login.password) for each in where)
        )

    def _of_token(self, registry: Registry) -> EntryLogins:
        with self._lock:
            token = self._tokens.get(entry_of(registry))
        region = registry.region or ""
        if token is None:
            # The hosts of an instance that names none are told with its token, as is a region that nobody wrote.
            is_told = registry.domains or (region and not registry.instance_id)
            may_fill = tuple(places(registry, region=region, listed=())) if is_told else None
            return EntryLogins(registry.instance_id, region, (), is_known=False, may_fill=may_fill)
        if self._clock() >= token.dead_at:
            return EntryLogins(registry.instance_id, region, ())
        where = places(registry, region=token.region, listed=token.hosts)
        logins = tuple((each, token.username, token.password) for each in where)
        return EntryLogins(registry.instance_id, region or token.region, logins, ends_at=token.dead_at)

    def states(self, settings: ProviderSettings) -> list[TokenState]:
        """Return how each entry stands; a login of one's own has no times."""
        with self._lock:
            tokens = [(display_name(each), self._tokens.get(entry_of(each))) for each in _asked(settings)]
        return [
            TokenState(name, token.got_at, token.due_at, token.dead_at) if token else TokenState(name, 0.0, 0.0, 0.0)
            for name, token in tokens
        ]

    def encode(self) -> str:
        """Return the tokens as JSON, for the Secret that all replicas watch.

        The dead are among them: who knows that a token died takes it out of the namespaces' Secrets.
        """
        with self._lock:
            kept = [each for _, each in sorted(self._tokens.items())]
        rows = [{name: getattr(each, name) for name in Token.__slots__} for each in kept]
        return json.dumps({"format": FORMAT, "tokens": rows}, separators=(",", ":"))

    def merge(self, text: str) -> bool:
        """Take in what another replica wrote, where it is newer; say whether anything was. Other formats are not."""
        news = False
        for token in _decoded(text):
            with self._lock:
                kept = self._tokens.get(token.entry)
                if kept is None or kept.got_at < token.got_at:
                    self._tokens[token.entry] = token
                    news = True
        return news

    def forget(self, entries: Iterable[str]) -> None:
        """Drop the tokens of all but these *entries*."""
        wanted = set(entries)
        with self._lock:
            self._tokens = {entry: token for entry, token in self._tokens.items() if entry in wanted}


def _asked(settings: ProviderSettings) -> list[Registry]:
    """Return the entries that the cloud is asked for, each once."""
    asked: dict[str, Registry] = {}
    for registry in settings.registries:
        if registry.identity.kind != "basicAuth":
            asked.setdefault(entry_of(registry), registry)
    return list(asked.values())


def _decoded(text: str) -> Sequence[Token]:
    try:
        document: Any = json.loads(text)
        if document["format"] != FORMAT:
            return ()
        return [
            Token(
                entry=str(row["entry"]),
                who=str(row["who"]),
                username=str(row["username"]),
                password=str(row["password"]),
                got_at=float(row["got_at"]),
                due_at=float(row["due_at"]),
                dead_at=float(row["dead_at"]),
                region=str(row["region"]),
                hosts=tuple(str(host) for host in row["hosts"]),
            )
            for row in document["tokens"]
        ]
    except (ValueError, KeyError, TypeError):
        return ()
