"""Fetches the tokens that are due, several entries at once, and waits for none of them for long."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from acr_credential_provider.model.display_name import display_name
from acr_credential_provider.model.errors import CloudUnreachableError, CredentialProviderError
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.pull_secrets.model.registry_names import entry_of

if TYPE_CHECKING:
    from acr_credential_provider.pull_secrets.config.manager import ConfigManager
    from acr_credential_provider.settings import ProviderSettings, Registry
    from acr_credential_provider.sources.basic_auth import BasicAuth

    from .token_cache import Fetched, TokenCache

LOG = logging.getLogger(__name__)
PATIENCE = 5.0
"""Seconds to wait for the cloud, so that tokens that come together become one write in each namespace."""
TOGETHER = 8
"""Entries for which the cloud is asked at the same time."""


class LoginSource(Protocol):
    """Where logins come from: ACR, and files for entries that bring their own. Both raise `CredentialProviderError`."""

    def fetch(self, settings: ProviderSettings, registry: Registry, *, known: tuple[str, ...]) -> Fetched:
        """Return a new token for *registry*; *known* are the hosts that ACR listed last time."""

    def read_login(self, username_file: str, password_file: str) -> BasicAuth:
        """Return the user name and password in two files."""


class TokenRenewer:
    """Keeps the tokens of the settings valid. *wake* is set when a fetch ended."""

    def __init__(
        self, tokens: TokenCache, source: LoginSource, config: ConfigManager, *, wake: threading.Event
    ) -> None:
        self._tokens = tokens
        self._source = source
        self._config = config
        self._telemetry = config.telemetry
        self._wake = wake
        self._in_flight: set[str] = set()
        self._ended = threading.Condition()

    def renew(self, settings: ProviderSettings) -> None:
        """Fetch what is due, and wait a little; a token that comes later wakes the next round."""
        until = time.monotonic() + PATIENCE
        waiting = self._tokens.due(settings)
        while waiting and time.monotonic() < until:
            with self._ended:
                waiting = [registry for registry in waiting if entry_of(registry) not in self._in_flight]
                free = TOGETHER - len(self._in_flight)
                now, waiting = waiting[:free], waiting[free:]
                self._in_flight.update(entry_of(registry) for registry in now)
            for registry in now:
                work = (settings, registry, self._tokens.hosts_of(registry))
                threading.Thread(target=self._fetch_one, args=work, name="token", daemon=True).start()
            most = TOGETHER - 1 if waiting else 0
            with self._ended:
                self._ended.wait_for(partial(self._has_at_most, most), max(until - time.monotonic(), 0.0))

    def _has_at_most(self, count: int) -> bool:
        return len(self._in_flight) <= count

    def _fetch_one(self, settings: ProviderSettings, registry: Registry, known: tuple[str, ...]) -> None:
        try:
            self._tokens.keep(registry, self._source.fetch(settings, registry, known=known))
            self._telemetry.renewed(display_name(registry))
        except CredentialProviderError as error:
            self._failed(registry, error)
        except Exception:  # a mistake of ours must neither be repeated at full speed nor cost the other entries
            LOG.exception("a token could not be fetched", extra={"entry": display_name(registry)})
            report = Remedy("UnforeseenError", "Report this with the controller's log: it names the place.")
            self._failed(registry, CloudUnreachableError("fetching a token met the unforeseen", remedy=report))
        finally:
            with self._ended:
                self._in_flight.discard(entry_of(registry))
                self._ended.notify_all()
            self._wake.set()

    def _failed(self, registry: Registry, error: CredentialProviderError) -> None:
        self._tokens.fail(registry, error)
        self._telemetry.renewal_failed(display_name(registry), type(error).__name__)
        self._config.report("TokenNotRenewed", error, display_name(registry))
