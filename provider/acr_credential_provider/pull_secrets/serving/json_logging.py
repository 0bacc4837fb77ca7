"""The controller's log: one JSON object a line on stderr.

Texts are ours: problems and remedies of our own errors, names of objects, counts. Of a foreign exception only the
type's name and the lines of our code that it passed, never its text.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import IO, Any

from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.model.errors import CredentialProviderError

PACKAGE = "acr_credential_provider"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """Writes a record as one line of JSON: time, level, subject, message, and what the caller gave as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        moment = time.gmtime(record.created)
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "subject": record.name.rpartition(".")[2],
            "message": _message(record),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _OWN})
        if record.exc_info and record.exc_info[1] is not None:
            line.update(_describe(record.exc_info[1]))
        return json.dumps(_plain(line), ensure_ascii=False, default=lambda value: type(value).__name__)


def _plain(value: Any) -> Any:
    """Return *value* with each text in it as one printable line: names of objects and hosts are among them."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _message(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] == PACKAGE:
        return record.getMessage()
    # Others put URLs, headers and bodies into their texts. Where it comes from must do.
    return f"{record.name} warned in {record.funcName}, line {record.lineno}"


def _describe(error: BaseException) -> dict[str, Any]:
    if isinstance(error, CredentialProviderError):
        texts = {"problem": error.problem, "remedy": error.remedy, "code": error.remedy.code}
        return {"error": type(error).__name__} | texts
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"/{PACKAGE}/" in frame.filename.replace("\\", "/")]
    lines = [f"{frame.filename.rpartition(PACKAGE)[2].lstrip('/')}:{frame.lineno}" for frame in ours]
    return {"error": type(error).__name__, "at": lines}


def start(level: str = "info", *, stream: IO[str] | None = None) -> logging.Handler:
    """Let our loggers write to *stream* (stderr) from *level* on, all others their warnings; return the handler."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(PACKAGE).setLevel(level.upper())
    # It warns of clients that leave in the middle of a handshake.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    logging.captureWarnings(True)
    return handler
