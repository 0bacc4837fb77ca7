"""The program as its callers see it: a command line, bytes in, bytes out. From source or frozen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FROZEN = ROOT / "build/dist/aliyun-acr-credential-provider/aliyun-acr-credential-provider"
CONTROLLER = ROOT / "build/dist/controller/aliyun-acr-credential-provider"
GROUP = "credentialprovider.kubelet.k8s.io"
API_VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1beta1", f"{GROUP}/v1alpha1")
HERE_ONLY = {"NO_PROXY": "127.0.0.1,localhost", "HTTPS_PROXY": "", "https_proxy": ""}


@dataclass(frozen=True)
class Ended:
    """What a run left: its exit code, the bytes it wrote, and how long it took (seconds)."""

    code: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def document(self) -> dict:
        return json.loads(self.stdout)

    @property
    def duration(self) -> int:
        """cacheDuration in seconds."""
        return int(self.document["cacheDuration"].removesuffix("s"))

    def login(self, host: str) -> tuple[str, str]:
        """Return the user name and password for *host*."""
        auth = self.document["auth"][host]
        return auth["username"], auth["password"]


@dataclass(frozen=True)
class Program:
    """One way to run the plugin, with a settings file and a cache folder of its own."""

    command: tuple[str, ...]
    settings: Path
    cache: Path

    def start(self, *arguments: str, under: tuple[str, ...] = (), **options) -> subprocess.Popen:
        """Start it with *arguments*, or as the kubelet does when there are none."""
        words = arguments or ("--settings", str(self.settings), "--cache", str(self.cache))
        pipe = subprocess.PIPE
        options = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "env": {**os.environ, **HERE_ONLY}, **options}
        return subprocess.Popen([*under, *self.command, *words], **options)

    def run(self, stdin: bytes, *arguments: str, timeout: float = 60.0, **options) -> Ended:
        """Run it to its end, as the kubelet does, which kills it after 60 s."""
        began = time.monotonic()
        with self.start(*arguments, **options) as process:
            try:
                out, err = process.communicate(stdin, timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Ended(process.returncode, out or b"", err or b"", time.monotonic() - began)

    def ask(self, image: str, **options) -> Ended:
        """Ask for *image*'s credentials."""
        return self.run(request(image), **options)

    def ask_together(self, images: list[str], *, before_end=None, **options) -> list[Ended]:
        """Ask for all *images* at once; *before_end* is called with the processes while they run."""
        began = time.monotonic()
        processes = [self.start(**options) for _ in images]
        for process, image in zip(processes, images, strict=True):
            process.stdin.write(request(image))
            process.stdin.close()
            process.stdin = None
        if before_end is not None:
            before_end(processes)
        ended = []
        for process in processes:
            out, err = process.communicate(timeout=60)
            ended.append(Ended(process.returncode, out, err, time.monotonic() - began))
        return ended


def source(settings: Path, cache: Path) -> Program:
    """The program as `python -m` runs it."""
    return Program((sys.executable, "-m", "acr_credential_provider"), settings, cache)


def frozen(settings: Path, cache: Path) -> Program:
    """The program as it is shipped."""
    assert FROZEN.exists(), "run `make freeze` first: what is shipped is what is tested"
    return Program((str(FROZEN),), settings, cache)


def controller(settings: Path, cache: Path) -> Program:
    """The program that works on a cluster's objects, as it is shipped."""
    assert CONTROLLER.exists(), "run `make freeze-controller` first: what is shipped is what is tested"
    return Program((str(CONTROLLER),), settings, cache)


def request(image: str, *, version: str = API_VERSIONS[0], **more: object) -> bytes:
    """Return a request byte for byte as the kubelet writes it."""
    document = {"kind": "CredentialProviderRequest", "apiVersion": version, "image": image, **more}
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
