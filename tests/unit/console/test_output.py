"""Names of others forge no line and no escape sequence, wherever this program writes text."""

import ast
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from acr_credential_provider.commands.cli import run
from acr_credential_provider.console import checks, output
from acr_credential_provider.exec.watchdog import report
from acr_credential_provider.fastpath.syslog import _packet
from acr_credential_provider.kubelet.config_validation import ANY_KUBELET, check
from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.openshift import docker_config
from acr_credential_provider.pull_secrets.serving.json_logging import JsonLines
from acr_node_config.reporter.node_report import metrics
from acr_node_config.rollout.agent_status import READY, AgentStatus, TokenStatus

REPOSITORY = Path(__file__).resolve().parents[3]
SOURCES = sorted(file for folder in ("provider", "node-config") for file in (REPOSITORY / folder).rglob("*.py"))
HOSTILE = "x\nerror: forged\r\x1b[2J\u2028\u202e\u200b\udcff\x9by"
FORBIDDEN = frozenset("\r\x1b\u2028\u202e\u200b\udcff\x9b\x85\x00")

MAY_WRITE = {"console/output.py"}
"""Files that write to stdout or stderr as streams; the plugin itself writes bytes, of its answer and of errors."""


def is_stream_write(node: ast.AST) -> bool:
    """True for ``print(...)`` and ``sys.stdout.write(...)``."""
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    return name == "print" or name in {f"sys.{stream}.{verb}" for stream in ("stdout", "stderr") for verb in
                                       ("write", "writelines", "buffer.write")}  # fmt: skip


def test_only_one_file_writes_lines() -> None:
    """A new command cannot forget to make its lines printable."""
    wrong = [
        f"{file.relative_to(REPOSITORY)}:{node.lineno}"
        for file in SOURCES
        if not str(file).endswith(tuple(MAY_WRITE | {"commands/agent_cli.py"}))
        for node in ast.walk(ast.parse(file.read_text()))
        if is_stream_write(node)
    ]
    assert wrong == []


def _error() -> str:
    error = CredentialProviderError(f"cannot read {HOSTILE}", remedy=f"Look at {HOSTILE}.")
    return f"{error} {error.problem} {error.remedy}"


def _record() -> str:
    record = logging.makeLogRecord({"name": "acr_credential_provider.x", "msg": HOSTILE, "about": [HOSTILE]})
    record.exc_info = (ConfigurationError, ConfigurationError(HOSTILE, remedy=HOSTILE), None)
    return JsonLines().format(record)


def _docker_config() -> str:
    content = json.dumps({"auths": {f"{HOSTILE}.example.com": {}, "b.example.com": {"auth": "x"}}}).encode()
    try:
        return " ".join(docker_config.parse(content, source="config.json").notes)
    except ConfigurationError as error:
        return f"{error.problem} {error.remedy}"


def _kubelet_config() -> str:
    document = {"kind": "CredentialProviderConfig", HOSTILE: 1, "providers": [{"name": HOSTILE, HOSTILE: HOSTILE}]}
    problems = check({"a.json": json.dumps(document).encode()}, ANY_KUBELET, is_directory=False, executables=())
    return " ".join(f"{problem} {problem.remedy}" for problem in problems)


def _metrics() -> str:
    status = AgentStatus(state=READY, version=HOSTILE, tokens=(TokenStatus(HOSTILE, 1.0, 1.0),))
    lines = metrics(status, 1.0, 1.0).split("\n")
    assert not [line for line in lines if line.startswith("error")]
    return " ".join(lines)


EDGES: dict[str, Callable[[], str]] = {
    "an error": _error,
    "a problem of a file": lambda: str(ConfigProblem(1, HOSTILE, HOSTILE, HOSTILE, HOSTILE)),
    "a check": lambda: checks.text([checks.failed(HOSTILE, remedy=HOSTILE, location=HOSTILE)]).replace("\n", ""),
    "a line of the controller's log": _record,
    "a line of the system's log": lambda: _packet(6, HOSTILE).decode(),
    "a docker configuration": _docker_config,
    "a kubelet's configuration": _kubelet_config,
    "metrics of the node": _metrics,
}


@pytest.mark.parametrize("edge", EDGES)
def test_no_name_forges_a_line(edge: str) -> None:
    """Line ends, escapes and marks of direction are written out or gone."""
    text = EDGES[edge]()
    assert "forged" in text or edge == "a docker configuration" or "a key" in text
    assert not FORBIDDEN & set(text)
    assert "\n" not in text


def test_lines_of_commands_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    """On both streams; only the two lines of an error and its remedy are ours."""
    output.say(HOSTILE)
    output.warn("note", HOSTILE, remedy=HOSTILE)
    output.pass_on(b"error: \x1b[2J\xff\nremedy: \xe2\x80\xae\n")
    out, err = capsys.readouterr()
    assert [len(out.splitlines()), len(err.splitlines())] == [1, 4]
    assert not FORBIDDEN & {*out, *err}


def test_an_option_that_is_none_is_quoted_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """argparse repeats what was typed, which a script may have taken from elsewhere."""
    assert run(["cache", "show", HOSTILE]) == 2
    assert not FORBIDDEN & set(capsys.readouterr().err)


def test_an_error_on_stderr_has_two_lines(capfd: pytest.CaptureFixture[str]) -> None:
    """However it was made."""
    error = ConfigurationError("first", remedy="second")
    error.problem, error.remedy = HOSTILE, HOSTILE  # set later, past the constructor
    report(error)
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "remedy"]


SECRETS = ("$y$j9T$w0rd", "BEGIN", "hunter2", "s3cr3t")
FILES = {
    "a password file": "root:$y$j9T$w0rd:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n",
    "a password file with spaces": "root: $y$j9T$w0rd:19000\nuser hunter2 hash: 1\n",
    "a private key": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0: hunter2\n-----END-----\n",
    "passwords as keys": "apiVersion: aliyun-acr-credential-provider/v1\nhunter2 and s3cr3t: 1\n",
    "a YAML key with a line end": '"a\\nerror: hunter2\\e[2J": 1\n',
    "an environment file": "DB_PASSWORD=hunter2\nTOKEN=s3cr3t\n",
    "JSON": '{"hunter2 ": {"s3cr3t!": 1}}',
    "an acr-configuration": "data:\n  acr-registry-info: |\n    - hunter2 s3cr3t: x\n  the hunter2: y\n",
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_was_named_by_mistake_is_not_repeated(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`settings validate /etc/shadow` says that it is none, and no more."""
    file = tmp_path / "named.yaml"
    file.write_text(FILES[kind])
    file.chmod(0o600)
    for verb in ("validate", "convert", "match-images"):
        assert run(["settings", verb, str(file)]) == 1
    out, err = capsys.readouterr()
    assert err
    assert not [secret for secret in SECRETS if secret in out + err]
    assert not FORBIDDEN & {*out, *err}
