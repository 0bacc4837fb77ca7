"""The programs that call with an SDK: how each is built, and how it is asked.

A caller reads a line of JSON, makes the call with its SDK, and writes a line of JSON: `result`, or `error`.
`python -m sdks.callers` builds all of them, below build/sdks.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SOURCES = Path(__file__).resolve().parent
REQUIREMENT = re.compile(r"^(alibabacloud-\S+|darabonba-core)==(\S+)", re.MULTILINE)
ARTIFACT = re.compile(r"<artifactId>([^<]+)</artifactId><version>([^<]+)<")
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies"
MODULE = re.compile(r"^\t(github\.com/\S+) (v\S+)$", re.MULTILINE)
BUILT = SOURCES.parents[1] / "build" / "sdks"


@dataclass(frozen=True)
class Sdk:
    """One language's SDKs: how its caller is built, started, and made to trust the CA in a file.

    *wrong_secret* is what its credentials library says of a secret that STS refuses, *no_role* of a node without a role
    (by default what the server said). *reads_retry_after*: True if its
    errors say when to come back. *remark*: what it leaves undone, and how its caller does that.
    """

    name: str
    needs: str
    build: Callable[[Path, Path], None]
    command: Callable[[Path], Sequence[str]]
    ca_variable: str
    versions: Callable[[Path], Mapping[str, str]]
    wrong_secret: str = "SignatureDoesNotMatch"
    no_role: str = "404"
    reads_retry_after: bool = False
    remark: str = ""

    @property
    def packages(self) -> Mapping[str, str]:
        """The versions of the SDKs by their names, as they are pinned."""
        return self.versions(self.source)

    @property
    def source(self) -> Path:
        return SOURCES / self.name

    @property
    def built(self) -> Path:
        return BUILT / self.name


def _build_go(source: Path, built: Path) -> None:
    command = ["go", "build", "-C", str(source), "-mod=readonly", "-trimpath", "-buildvcs=false"]
    subprocess.run([*command, "-o", str(built / "caller"), "."], check=True, env={**os.environ, "CGO_ENABLED": "0"})


def _build_javascript(source: Path, built: Path) -> None:
    for name in ("package.json", "package-lock.json", "caller.js"):
        shutil.copy(source / name, built / name)
    # Exactly the bytes that the lock names by their hashes, and no package runs a script of its own.
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], check=True, cwd=built)


def _build_python(source: Path, built: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    command += ["--no-deps", "--no-build-isolation", "--upgrade", "--target", str(built / "packages")]
    subprocess.run([*command, "--requirement", str(source / "requirements.txt")], check=True)
    # Python imports from the folder of the program that it runs.
    shutil.copy(source / "caller.py", built / "packages" / "caller.py")


def _versions_of_python(source: Path) -> dict[str, str]:
    files = (source / "requirements.txt", SOURCES.parents[1] / "packaging" / "requirements" / "dev.txt")
    return {name: version for file in files for name, version in REQUIREMENT.findall(file.read_text())}


def _build_java(source: Path, built: Path) -> None:
    jars = built / "jars"
    shutil.rmtree(jars, ignore_errors=True)
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(source / "pom.xml"), COPY_DEPENDENCIES]
    subprocess.run([*command, "-DincludeScope=runtime", f"-DoutputDirectory={jars}"], check=True)
    # Maven pins versions, not bytes.
    digests = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in jars.iterdir()}
    pinned = {name: digest for digest, name in map(str.split, (source / "jars.sha256").read_text().splitlines())}
    if wrong := sorted(name for name, _ in digests.items() ^ pinned.items()):
        raise OSError(f"not as jars.sha256 says: {', '.join(dict.fromkeys(wrong))}")
    command = ["javac", "-encoding", "UTF-8", "-cp", f"{jars}/*", "-d", str(built), str(source / "Caller.java")]
    subprocess.run(command, check=True)


SDKS = (
    Sdk(
        "go",
        "go",
        _build_go,
        lambda built: [f"{built}/caller"],
        "SSL_CERT_FILE",
        lambda source: dict(MODULE.findall((source / "go.mod").read_text())),
        remark="Its GetAuthorizationToken of cr-20160607 does not read the answer's body. The caller makes it, and then"
        " the same call with the SDK's client, as JSON.",
    ),
    Sdk(
        "javascript",
        "node npm",
        _build_javascript,
        lambda built: ["node", f"{built}/caller.js"],
        "NODE_EXTRA_CA_CERTS",
        lambda source: json.loads((source / "package.json").read_text())["dependencies"],
        # It compares STS's text with what it signed itself.
        wrong_secret="the access key secret is invalid",
        reads_retry_after=True,
        remark="Its registry has no SDK of ACR. The caller asks with openapi-client, on which such SDKs are made.",
    ),
    Sdk(
        "java",
        "java javac mvn",
        _build_java,
        lambda built: ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{built}:{built}/jars/*", "Caller"],
        "CA_FILE",
        lambda source: dict(ARTIFACT.findall((source / "pom.xml").read_text())),
        no_role="The role name was not found in the instance.",
        remark="Its registry has no SDK of the Personal Edition. The caller asks with tea-openapi, on which such SDKs"
        " are made.",
    ),
    Sdk(
        "python",
        "",
        _build_python,
        lambda built: [sys.executable, f"{built}/packages/caller.py"],
        "SSL_CERT_FILE",
        _versions_of_python,
        reads_retry_after=True,
        remark="Those that this project uses too are the ones in its virtual environment. GetAuthorizationToken of"
        " cr-20160607 is as in Go.",
    ),
)

REGISTRY_CLIENTS = Sdk(
    "registry",
    "go",
    _build_go,
    lambda built: [f"{built}/caller"],
    "SSL_CERT_FILE",
    lambda source: dict(MODULE.findall((source / "go.mod").read_text())),
    remark="The clients of containerd and crane, and docker's token client (docker/distribution). containerd asks for a"
    " token by POST (OAuth 2) first. The sandbox answers 404, and containerd goes on by GET.",
)
PROGRAMS = (*SDKS, REGISTRY_CLIENTS)


class Caller:
    """A running caller. *inside* puts a command line where the metadata service is."""

    def __init__(self, sdk: Sdk, ca_file: Path, inside: Callable[[Sequence[str]], list[str]]) -> None:
        self.sdk = sdk
        # Nothing of this machine's own settings: no proxy, and no credentials that an SDK would find by itself.
        environment = {"PATH": os.environ["PATH"], "HOME": str(sdk.built), sdk.ca_variable: str(ca_file)}
        self._process = subprocess.Popen(
            inside(sdk.command(sdk.built)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Return what came of *call*: `result` or `error`."""
        if self._process.stdin is None or self._process.stdout is None:
            raise OSError("the caller has no pipes")
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise OSError(f"the caller ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "broken" in answer:
            raise OSError(f"the caller is wrong: {answer['broken']}")
        return answer

    def close(self) -> None:
        self._process.communicate()


def main() -> int:
    """Build every caller; return 1 if a tool is missing, which is said."""
    missing = [sdk.needs for sdk in PROGRAMS if not all(shutil.which(each) for each in sdk.needs.split())]
    if missing:
        sys.stderr.write(f"error: this machine lacks {', '.join(missing)}, with which the SDKs are built\n")
        return 1
    for sdk in PROGRAMS:
        sdk.built.mkdir(parents=True, exist_ok=True)
        sdk.build(sdk.source, sdk.built)
    return 0


if __name__ == "__main__":
    sys.exit(main())
