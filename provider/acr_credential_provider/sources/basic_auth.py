"""A user name and password of the registry itself, from two files that only root can read.

Not a credential source: no call to the cloud is made with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from acr_credential_provider.model.errors import IdentityUnavailableError
from acr_credential_provider.model.remedy import Remedy

from .secret_file import FOR_OWNER_ALONE, read_secret


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """The login in the files.

    >>> BasicAuth("me@1234567890", "secret")
    BasicAuth(username='me@1234567890')
    """

    username: str
    password: str = field(repr=False)


def read_basic_auth(username_file: str, password_file: str, *, forbidden: int = FOR_OWNER_ALONE) -> BasicAuth:
    """Read and return the login, or raise `IdentityUnavailableError` naming the file and the fix.

    *forbidden* are the permission bits that the files must not have.
    """
    username = _line(username_file, "the user name", forbidden)
    if ":" in username:
        raise IdentityUnavailableError(
            f"{username_file} holds a user name with a colon, which no registry can take",
            remedy=Remedy(
                "SecretFileInvalid",
                f"Write only the user name into {username_file}, and the password into {password_file}.",
            ),
        )
    return BasicAuth(username, _line(password_file, "the password", forbidden))


def _line(path: str, what: str, forbidden: int) -> str:
    try:
        text = read_secret(path, what=what, forbidden_mode_bits=forbidden).decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text:
        return text
    raise IdentityUnavailableError(
        f"{path} does not hold one line of text",
        remedy=Remedy("SecretFileInvalid", f"Write {what} into {path}, and nothing else."),
    )
