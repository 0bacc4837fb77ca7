"""A file that only root can read, with one secret in it."""

from __future__ import annotations

import os
import re
import stat

from acr_credential_provider.files.root_reading import check_before_reading
from acr_credential_provider.model.errors import ConfigurationError, IdentityUnavailableError
from acr_credential_provider.model.own_places import CONFIGURATION, is_ours
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import explained

USUAL_SIZE = 4096
"""Bytes; a key or password has a hundredth of this."""
FOR_OWNER_ALONE = 0o077
"""Permission bits that a file with a secret must not have on a node."""
NOT_WRITTEN_BY_OTHERS = 0o022
"""The same in a volume of one pod, whose files a group of that pod may have to read."""

_WORD = re.compile(rb"[!-~]+")  # printable ASCII without spaces: it goes into a header


def read_word(path: str, *, what: str, largest: int = USUAL_SIZE, forbidden: int = FOR_OWNER_ALONE) -> str:
    """Return the one word in the file at *path*; parameters and errors as `read_secret`."""
    word = read_secret(path, what=what, largest=largest, forbidden_mode_bits=forbidden)
    if not _WORD.fullmatch(word):
        raise IdentityUnavailableError(
            f"{path} holds more than {what}",
            remedy=Remedy(
                "SecretFileInvalid",
                f"Write the bare value into {path}: one line, no name before it, no quotes, no base64.",
            ),
        )
    return word.decode("ascii")


def read_secret(
    path: str, *, what: str, largest: int = USUAL_SIZE, forbidden_mode_bits: int = FOR_OWNER_ALONE
) -> bytes:
    """Return the content of the file at *path* without the white space around it.

    Raises `IdentityUnavailableError`, with *what* the content should be, when the file is absent, empty,
    larger than *largest* bytes, or has one of the *forbidden_mode_bits*.
    """
    outcome = _content(path, what, largest, forbidden_mode_bits)
    if isinstance(outcome, IdentityUnavailableError):
        raise outcome
    word = outcome.strip()
    if not word:
        raise IdentityUnavailableError(
            f"{path} is empty", remedy=Remedy("SecretFileInvalid", f"Write {what} into {path}.")
        )
    return word


def _content(path: str, what: str, largest: int, forbidden: int) -> bytes | IdentityUnavailableError:
    """Return the content of *path*, or the reason why it must not be used.

    Symlinks are followed, because a mounted Secret is made of them. The open file is the one whose owner and mode are
    checked; where root reads, only root can swap what is on the way to it.
    """
    try:
        # Not blocking, or a FIFO would hold the pull until someone writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        return IdentityUnavailableError(
            f"{path} does not exist", remedy=Remedy("SecretFileInvalid", f"Write {what} into {path}.")
        )
    except OSError as error:
        reason, remedy = explained(
            error, remedy=Remedy("SecretFileUnreadable", f"Make {path} a file that root can read.")
        )
        return IdentityUnavailableError(f"{path} cannot be opened: {reason}", remedy=remedy)
    except ValueError:  # a NUL byte
        return IdentityUnavailableError(
            f"{path} is not a path", remedy=Remedy("SecretFileUnreadable", "Correct it in the settings.")
        )
    try:
        return _refusal(path, os.fstat(descriptor), what, largest, forbidden) or os.read(descriptor, largest)
    except OSError as error:
        reason, remedy = explained(
            error, remedy=Remedy("SecretFileUnreadable", f"Make {path} a file that root can read.")
        )
        return IdentityUnavailableError(f"{path} cannot be read: {reason}", remedy=remedy)
    finally:
        os.close(descriptor)


def _refusal(
    path: str, status: os.stat_result, what: str, largest: int, forbidden: int
) -> IdentityUnavailableError | None:
    if not stat.S_ISREG(status.st_mode):
        return IdentityUnavailableError(
            f"{path} is not a regular file", remedy=Remedy("SecretFileUnreadable", f"Make {path} a regular file.")
        )
    if status.st_uid not in {0, os.geteuid()}:
        return IdentityUnavailableError(
            f"{path} belongs to user {status.st_uid}, who could put another one there",
            remedy=Remedy(
                "SecretFileUnsafe",
                f"Run: chown root:root {path}; chmod 0600 {path}"
                if is_ours(path)
                else f"Write {what} into a new file of root's with mode 0600, such as "
                f"{CONFIGURATION}/credentials/NAME, and name that in the settings. Leave {path} as it is.",
            ),
        )
    if stat.S_IMODE(status.st_mode) & forbidden:
        return IdentityUnavailableError(
            f"{path} can be used by others than its owner (mode {stat.S_IMODE(status.st_mode):04o})",
            remedy=Remedy(
                "SecretFileUnsafe",
                f"Run: chown root:root {path}; chmod 0600 {path}"
                if is_ours(path)
                else f"Write {what} into a new file of root's with mode 0600, such as "
                f"{CONFIGURATION}/credentials/NAME, and name that in the settings "
                "(a mounted Secret: defaultMode: 0400).",
            ),
        )
    if status.st_size > largest:
        return IdentityUnavailableError(
            f"{path} is too large ({status.st_size} bytes)",
            remedy=Remedy("SecretFileInvalid", f"Write {what} into {path}, and nothing else."),
        )
    try:
        check_before_reading(path)
    except ConfigurationError as error:
        return IdentityUnavailableError(error.problem, remedy=error.remedy)
    return None
