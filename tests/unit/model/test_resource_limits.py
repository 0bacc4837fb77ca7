"""A limit of the process or the machine is named as one, wherever a failure of the system becomes an error of ours."""

import errno
import os
import resource
import socket
import ssl
from contextlib import contextmanager
from pathlib import Path

import pytest
from acr_credential_provider.cloud.dial import addresses
from acr_credential_provider.cloud.retry import call_with_retry
from acr_credential_provider.cloud.transport_errors import TransportError, explain
from acr_credential_provider.commands.cli import _disk_error
from acr_credential_provider.exec.run import _unforeseen
from acr_credential_provider.files.atomic_write import write_private_atomically
from acr_credential_provider.kube_api.client import _reason
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import CloudUnreachableError, CredentialProviderError
from acr_credential_provider.model.resource_limits import LIMITS, explained, limit_behind
from acr_credential_provider.openshift.login_sources import from_file
from acr_credential_provider.settings import loader
from acr_credential_provider.sources.secret_file import read_word
from acr_node_config.commands.install_inputs import settings_at
from acr_node_config.hostfs.safe_path import translate_os_errors

WRONG_CAUSES = (
    "route",
    "security group",
    "DNS",
    "resolv.conf",
    "Install the settings",
    "that root can read",
    "No such",
)


def failure(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/some/file")


def _translated(error: OSError) -> CredentialProviderError:
    with pytest.raises(CredentialProviderError) as caught, translate_os_errors("/some/file"):
        raise error
    return caught.value


PLACES = {
    "a call to the cloud": lambda error: explain(error, doing="connect to", peer="acr:443", bundle="", seconds=1.0),
    "what nobody foresaw": _unforeseen,
    "a command": _disk_error,
    "the installer": _translated,
}


@pytest.mark.parametrize("number", LIMITS, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("place", PLACES)
def test_each_limit_is_named_in_each_place(place: str, number: int) -> None:
    """By its own problem and remedy, not by those of what was tried."""
    error = PLACES[place](failure(number))
    assert LIMITS[number].problem in error.problem
    if (place, number) != ("the installer", errno.EROFS):  # it knows which paths may be chosen
        assert error.remedy == LIMITS[number].remedy
    assert not [words for words in WRONG_CAUSES if words in error.problem + error.remedy]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("can't start new thread")], ids=["no memory", "no thread"]
)
def test_limits_without_a_number_are_recognised(error: Exception) -> None:
    """CPython raises other classes for these two."""
    limit = limit_behind(error)
    assert limit is not None
    assert limit.problem in _unforeseen(error).problem
    assert limit.problem in explain(error, doing="connect to", peer="acr:443", bundle="", seconds=1.0).problem


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, ""),
        PermissionError(errno.EACCES, ""),
        ConnectionRefusedError(errno.ECONNREFUSED, ""),
        TimeoutError(),
        ssl.SSLError(errno.EIO, "its number is OpenSSL's own"),
        ssl.SSLEOFError(8, ""),
        socket.gaierror(socket.EAI_AGAIN, ""),
        RuntimeError("other"),
        ValueError(errno.EMFILE),
    ],
    ids=repr,
)
def test_other_failures_are_no_limits(error: Exception) -> None:
    """Numbers of TLS and of DNS are not the system's."""
    assert limit_behind(error) is None
    if isinstance(error, OSError):
        assert explained(error, remedy="mine").remedy == "mine"
        assert "Input/output" not in explained(error, remedy="mine").problem


@contextmanager
def no_more_files():
    """Let this process open no more files."""
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = [os.open("/dev/null", os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (used[0] + 1, usual[1]))
    try:
        while True:
            used.append(os.dup(used[0]))
    except OSError:
        pass
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        for file in used:
            os.close(file)


READERS = {
    "settings": loader.read,
    "settings for the installer": settings_at,
    "a key": lambda path: read_word(path, what="a key"),
    "a docker configuration": from_file,
    "a file to write": lambda path: write_private_atomically(path, "x", remedy="Name another."),
}


@pytest.mark.parametrize("reader", READERS)
def test_with_no_more_files_to_open_that_is_the_error(tmp_path, reader: str) -> None:
    """The real limit, met by what reads and writes files."""
    path = tmp_path / "file"
    path.write_text("x")
    path.chmod(0o600)
    with no_more_files():
        try:
            READERS[reader](str(path))
        except CredentialProviderError as error:
            caught = error
    assert "this process may open no more files" in caught.problem
    assert "LimitNOFILE" in caught.remedy


def test_dns_without_a_socket_is_not_blamed() -> None:
    """getaddrinfo says "try again" when it cannot open a socket."""
    with no_more_files(), pytest.raises(OSError) as caught:
        addresses("name.invalid", 443, Deadline(5.0))
    assert caught.value.errno == errno.EMFILE


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (socket.EAI_AGAIN, "DNS failed for now"),
        (socket.EAI_FAIL, "DNS refused to answer"),
        (socket.EAI_NONAME, "DNS knows no address"),
        (socket.EAI_NODATA, "DNS knows no address"),
        (socket.EAI_MEMORY, "no memory left for DNS"),
    ],
)
def test_what_dns_says_is_told(number: int, words: str) -> None:
    """Each of its codes by its meaning."""
    error = explain(socket.gaierror(number, ""), doing="connect to", peer="acr:443", bundle="", seconds=1.0)
    assert words in error.problem


def test_the_api_servers_client_names_a_limit() -> None:
    """As the cloud's does."""
    assert _reason(failure(errno.EMFILE), Deadline(5.0), 5.0) == LIMITS[errno.EMFILE].problem


def test_a_time_out_names_the_time_of_all_tries() -> None:
    """The last try alone may have had a moment only."""
    left = [7.0]

    def attempt(_endpoint: str) -> None:
        left[0] -= 2.5 if left[0] > 2.5 else 0.8
        raise TransportError("connect to acr timed out after 0.8 s", remedy="r", try_next_endpoint=True, retryable=True)

    with pytest.raises(CloudUnreachableError) as caught:
        call_with_retry(
            ("https://acr",), attempt, time_left=lambda: left[0], sleep=lambda _: None, jitter=lambda low, _high: low
        )
    assert caught.value.problem == "connect to acr timed out after 0.8 s (3 tries in 5.8 s)"


def test_a_single_try_names_its_own_time_only() -> None:
    """It is the time of all of them."""

    def attempt(_endpoint: str) -> None:
        raise TransportError("the answer is a web page", remedy="r")

    with pytest.raises(CloudUnreachableError) as caught:
        call_with_retry(("https://acr",), attempt, time_left=lambda: 5.0)
    assert caught.value.problem == "the answer is a web page"


def test_no_error_takes_the_systems_words_past_this() -> None:
    """A new place that turns an OSError into an error of ours names limits too."""
    repository = Path(__file__).resolve().parents[3]
    own = ("model/resource_limits.py", "exec/run.py")
    wrong = [
        f"{file.relative_to(repository)}: {line.strip()}"
        for folder in ("provider", "node-config")
        for file in (repository / folder).rglob("*.py")
        if not str(file).endswith(own)
        for line in file.read_text().splitlines()
        if "{os.strerror(" in line or "= os.strerror(" in line
    ]
    assert wrong == []
