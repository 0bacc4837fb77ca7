"""What one run is doing: for the error if time runs out, and for the system's log."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from acr_credential_provider.fastpath.syslog import Log


class Progress:
    """The current stage: `now` is how the sentence "it was ..." ends."""

    now = "starting"

    def stage(self, words: str) -> None:
        """Begin the stage *words*."""
        self.now = words

    def set_tag(self, tag: str) -> None:
        """Set the tag of log lines (`syslog.Log`), as far as it is known."""


class LoggedProgress(Progress):
    """The same, and each stage goes to *log*."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def stage(self, words: str) -> None:
        """Begin the stage *words*."""
        self.now = words
        self.log.stage(words)

    def set_tag(self, tag: str) -> None:
        """Set the tag of log lines."""
        self.log.tag = tag
