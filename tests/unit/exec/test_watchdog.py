"""Stdout takes one whole answer or none, and words on stderr never hold anybody up."""

import os
import threading
import time

import pytest
from acr_credential_provider.exec import watchdog
from acr_credential_provider.exec.watchdog import OutputClosedError, ResponseWriter
from acr_credential_provider.model.errors import ConfigurationError


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for each in (reader, writer):
        os.close(each)


def test_the_first_answer_is_the_only_one(pipe):
    reply = ResponseWriter(pipe[1])
    assert (reply.is_begun, reply.is_out()) == (False, False)
    reply(b"first")
    reply(b"second")
    assert (reply.is_begun, reply.is_out()) == (True, True)
    assert os.read(pipe[0], 100) == b"first"


def test_an_answer_that_nobody_reads_is_begun_and_not_out(pipe):
    os.set_blocking(pipe[1], False)
    while True:
        try:
            os.write(pipe[1], b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(pipe[1], True)
    reply = ResponseWriter(pipe[1])
    thread = threading.Thread(target=reply, args=(b"answer",))
    thread.start()
    began = time.monotonic()
    while not reply.is_begun:
        time.sleep(0.001)
    assert not reply.is_out(0.1)
    assert time.monotonic() - began >= 0.1
    read = b""
    while not read.endswith(b"answer"):  # to read once more than that would be to wait for ever
        read += os.read(pipe[0], 65536)
    thread.join()
    assert reply.is_out()


def test_an_answer_that_cannot_be_written_is_not_out():
    reader, writer = os.pipe()
    os.close(reader)
    reply = ResponseWriter(writer)
    with pytest.raises(OutputClosedError) as caught:
        reply(b"answer")
    os.close(writer)
    assert (reply.is_begun, reply.is_out()) == (True, False)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("length", [10, 100_000])
def test_an_error_is_two_lines_that_fit_into_any_pipe(capfd, length):
    watchdog.report(ConfigurationError("p\nq " * length, remedy="\u20ac\ud800 " * length))
    written = capfd.readouterr().err.encode()
    assert [line[:8] for line in written.splitlines()] == [b"error: p", b"remedy: "]
    assert written.endswith(b"\n")
    assert len(written) <= 4096


def test_words_that_nobody_reads_are_left_unsaid(pipe):
    os.set_blocking(pipe[1], False)
    while True:
        try:
            os.write(pipe[1], b"x")
        except BlockingIOError:
            break
    os.set_blocking(pipe[1], True)
    stderr = os.dup(2)
    os.dup2(pipe[1], 2)
    try:
        watchdog.report(ConfigurationError("problem", remedy="remedy"))
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def test_the_watchdogs_thread_runs_before_anything_else_does(monkeypatch):
    """A process that ends before its thread begins crashes in Python's own end; a busy machine can delay the thread."""
    begun = []

    def start_late(wait, words):
        threading.Timer(0.3, lambda: (begun.append(True), wait(*words))).start()

    monkeypatch.setattr(watchdog, "start_new_thread", start_late)
    with watchdog.Watchdog(20.0, lambda: 1):
        assert begun
