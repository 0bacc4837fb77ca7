"""The line in the system's log, with a real datagram socket at its other end."""

import os
import re
import socket
import subprocess
import sys
import time

import pytest
from acr_credential_provider.fastpath.lookup import is_logged
from acr_credential_provider.fastpath.syslog import LARGEST, Log
from acr_credential_provider.model.errors import RegistryRefusedError

HEAD = re.compile(rb"<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d aliyun-acr-credential-provider\[\d+\]: ")


@pytest.fixture
def journal(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "log"))
        listening.setblocking(False)
        yield listening


def lines(journal):
    """Return what came, as (severity, text)."""
    found = []
    while True:
        try:
            packet = journal.recv(65536)
        except BlockingIOError:
            return found
        head = HEAD.match(packet)
        assert head, packet
        assert int(head[1]) >> 3 == 3, "facility daemon"
        found.append((int(head[1]) & 7, packet[head.end() :].decode()))


def log_to(journal, level, *, tag="off"):
    """Return a log as a process with *level* in its environment has it."""
    environ = {b"ACR_CREDENTIAL_PROVIDER_LOG": f"{level}:{journal.getsockname()}".encode()}
    log = Log(started=time.monotonic(), environ=environ)
    log.tag = tag
    return log


TAG = "off entry=cri-1 source=nodeRole"


def tell(log):
    log.stage("asking ACR")
    log.answered(host="acr.example.com", kind="token", cache="miss", tag=TAG)


def test_an_answer_is_one_line_with_host_entry_source_and_time(journal):
    tell(log_to(journal, "info"))
    ((severity, text),) = lines(journal)
    assert severity == 6
    assert re.fullmatch(
        r"answered host=acr\.example\.com answer=token cache=miss entry=cri-1 source=nodeRole ms=\d+", text
    )


def test_a_failure_is_one_line_with_its_remedy(journal):
    log = log_to(journal, "error", tag=TAG)
    log.host = "acr.example.com"
    log.failed(RegistryRefusedError("ACR refused\ncri-1", remedy="Attach the policy."))
    log.failed(RegistryRefusedError("and again", remedy=""))
    ((severity, text),) = lines(journal)
    assert severity == 3
    assert text.startswith("failed host=acr.example.com entry=cri-1 source=nodeRole ms=")
    assert text.endswith("error: ACR refused cri-1 remedy: Attach the policy.")


@pytest.mark.parametrize(("level", "count"), [("off", 0), ("error", 0), ("info", 1), ("debug", 2)])
def test_each_level_says_what_it_should(journal, level, count):
    tell(log_to(journal, level))
    assert len(lines(journal)) == count


def test_without_a_word_in_the_environment_the_settings_level_holds(journal):
    log = log_to(journal, "nonsense", tag="info")
    log.answered(host="h", kind="token", cache="hit", tag="info entry=cri-1 source=nodeRole")
    assert len(lines(journal)) == 1


def test_a_long_line_is_cut_and_odd_text_stays_on_it(journal):
    log_to(journal, "info").answered(host="h\n\udcff" + "x" * 3000, kind="token", cache="hit", tag="off")
    journal_line = journal.recv(65536)
    assert len(journal_line) == LARGEST
    assert b"\n" not in journal_line


def test_a_reader_that_never_reads_costs_no_time(journal):
    began = time.monotonic()
    for _ in range(2000):
        tell(log_to(journal, "info"))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("place", ["/nowhere/log", "/etc/passwd", "/dev/null", "/" + "x" * 200])
def test_a_log_that_is_not_there_is_no_error(place, tmp_path):
    code = (
        "from acr_credential_provider.fastpath.syslog import Log\n"
        "Log(started=0.0).answered(host='h', kind='token', cache='hit', tag='info')"
    )
    environment = {**os.environ, "ACR_CREDENTIAL_PROVIDER_LOG": f"debug:{place}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    ("tag", "expected"), [("", False), ("off", False), (TAG, False), ("error", True), ("info entry=cri-1", True)]
)
def test_a_hit_knows_from_its_memo_whether_a_line_is_wanted(tag, expected):
    assert is_logged(tag) is expected
