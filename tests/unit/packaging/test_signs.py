"""What people see in Events, logs and on a terminal is found in docs/remedies.md, with where to look on."""

import ast
import re
import tomllib

import pytest

from generate.error_reference import REPOSITORY, SIGNS, listed

PAGE = (REPOSITORY / "docs/remedies.md").read_text()
ROWS = tomllib.loads(SIGNS.read_text())["sign"]
IMAGE = "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app:1"
UNPACK = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": '
STATUS = UNPACK + "unexpected status from HEAD request to https://acr.example.com/v2/a/manifests/1: "
REQUEST = UNPACK + 'failed to do request: Head "https://acr.example.com/v2/a/manifests/1": '
TLS = REQUEST + "tls: failed to verify certificate: x509: "
NO_TOKEN = (
    'failed to get service account token: serviceaccounts "app" is forbidden: audience "sts.aliyuncs.com" not found in '
    "pod spec volume, system:node:n1 is not authorized to request tokens for this audience"
)
DENIED = (
    "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: "
    "authorization failed"
)


def rows_for(message: str) -> list[dict[str, object]]:
    """Return the rows that somebody finds who searches for parts of *message*, the general ones last."""
    found = [row for row in ROWS if any(text.lower() in message.lower() for text in row["seen"])]
    return sorted(found, key=lambda row: not row["codes"])


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (UNPACK + "failed to authorize: failed to fetch oauth token: 401 Unauthorized", "ImageNotCovered"),
        (UNPACK + DENIED, "PullDenied"),
        (UNPACK + f"{IMAGE}: not found", "ImageUnknown"),
        (STATUS + "403 Forbidden", "PullDenied"),
        (STATUS + "429 Too Many Requests", "CloudThrottled"),
        (STATUS + "503 Service Unavailable", "CloudUnavailable"),
        (REQUEST + "dial tcp: lookup acr.example.com on 10.0.0.2:53: no such host", "HostHasNoAddress"),
        (REQUEST + "dial tcp 10.1.1.1:443: i/o timeout", "NetworkUnreachable"),
        (REQUEST + "dial tcp 10.1.1.1:443: connect: connection refused", "NetworkUnreachable"),
        (TLS + "certificate signed by unknown authority", "CertificateUntrusted"),
        (TLS + "certificate has expired or is not yet valid: current time", "ClockWrong"),
        (TLS + "certificate is valid for proxy.corp, not acr.example.com", "ConnectionIntercepted"),
        (REQUEST + "http: server gave HTTP response to HTTPS client", "ConnectionIntercepted"),
        (REQUEST + "proxyconnect tcp: dial tcp: lookup proxy.corp: no such host", "ProxyRefused"),
        ("reading manifest 1 in acr.example.com/a: unauthorized: authentication required", "ImageNotCovered"),
        ("reading manifest 1 in acr.example.com/a: manifest unknown: manifest unknown", "ImageUnknown"),
        ("pinging container registry acr.example.com: context deadline exceeded", "NetworkUnreachable"),
        ("Error response from daemon: Head ...: no basic auth credentials", "ImageNotCovered"),
        ("denied: requested access to the resource is denied", "PullDenied"),
        (NO_TOKEN, "AudienceNotGranted"),
        ("plugin binary executable /opt/bin/aliyun-acr-credential-provider did not exist", "PluginNotInstalled"),
        ("write /var/lib/containerd/tmp: no space left on device", "DiskFull"),
    ],
    ids=lambda value: value[-40:],
)
def test_a_runtimes_message_leads_to_a_code(message, code):
    codes = [each for row in rows_for(message) for each in row["codes"]]
    assert code in codes


@pytest.mark.parametrize("message", ["ImagePullBackOff", "ErrImagePull", f'Back-off pulling image "{IMAGE}"'])
def test_a_message_that_says_only_that_a_pull_failed_leads_to_where_more_is_said(message):
    (row,) = rows_for(message)
    assert "doctor" in row["todo"]


def test_what_the_checks_of_a_cluster_are_tried_with_is_found():
    """The messages of containerd and CRI-O in the tests of `doctor --cluster`."""
    tree = ast.parse((REPOSITORY / "tests/unit/cluster_doctor/test_checks.py").read_text())
    test = next(node for node in ast.walk(tree) if getattr(node, "name", "").startswith("test_what_the_runtime_says"))
    cases = test.decorator_list[0].args[1].elts
    messages = [
        "".join(part.value for part in ast.walk(case.elts[0]) if isinstance(part, ast.Constant)) for case in cases
    ]
    assert len(messages) > 5
    assert [message for message in messages if not rows_for(message)] == []


def test_each_code_that_the_sandbox_answers_with_is_on_the_page():
    """Those of Alibaba Cloud's API, of STS, of RAM and of registries; one below a known one is found by that."""
    code = re.compile(
        r"(?:Throttling|Forbidden|Invalid|Missing|Signature|NoPermission|EntityNotExist|AuthenticationFail|INSTANCE_)"
        r"[A-Za-z_.]*|UNAUTHORIZED|DENIED|[A-Z]+_UNKNOWN"
    )
    used = {
        node.value
        for file in (REPOSITORY / "tests/sandbox").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and code.fullmatch(node.value)
    }
    assert len(used) > 15
    assert {each for each in used if each not in PAGE and each.rpartition(".")[0] not in PAGE} == set()


@pytest.mark.parametrize("status", ["401", "403", "404", "429", "500", "502", "503", "504"])
def test_each_status_that_a_pull_ends_with_is_in_the_table(status):
    assert rows_for(f"HTTP {status}")


def test_each_reason_of_an_event_is_in_the_table():
    reasons = set()
    for file in (REPOSITORY / "provider/acr_credential_provider/pull_secrets").rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in ("event", "report", "_report"):
                words = [
                    word
                    for argument in call.args[:2]
                    for word in ((argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else (argument,))
                ]
                texts = {str(word.value) for word in words if isinstance(word, ast.Constant)}
                reasons |= {text for text in texts if re.fullmatch("(?:[A-Z][a-z]+){2,}", text)}
    reporter = (REPOSITORY / "node-config/acr_node_config/reporter/node_report.py").read_text()
    reasons |= set(re.findall(r'NodeEvent\("(ACR\w+)"', reporter))
    assert len(reasons) > 15
    assert {reason for reason in reasons if not rows_for(reason)} == set()


def test_each_row_names_codes_that_there_are():
    codes = {code for chapter in listed().values() for code in chapter}
    assert {code for row in ROWS for code in row["codes"]} <= codes
    assert all(row["codes"] or row["todo"] for row in ROWS)
