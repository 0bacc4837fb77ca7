"""Runs the sandbox by hand: python -m sandbox [--directory DIR] [--json] [-- COMMAND].

Without COMMAND it serves until SIGINT or SIGTERM. With one it runs COMMAND in a network
namespace where the metadata service is at 100.100.100.200 (root only), and ends with it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import threading
from pathlib import Path

from .netns import NetworkNamespace
from .server import AcrSandbox

GUIDE = """\
ACR sandbox: one instance, one access key, one node. Nothing of it is real.

OpenAPI    {openapi}
STS        {sts}
metadata   {metadata}
registry   {registry}   (image {image})
control    {control}   (GET /calls, POST /faults, PATCH /clock ...; see tests/sandbox/control.py)

Settings that lead here ({settingsFile}):
{settings}

Environment, where a proxy is set:
  export NO_PROXY=127.0.0.1

Ask the plugin as the kubelet does:
  {request} | \\
    aliyun-acr-credential-provider --settings {settingsFile} --cache {directory}/cache

Pull as the container runtime would, with the plugin's answer on standard input:
  PYTHONPATH=tests python3 -m sandbox.pull {image} {caFile}
"""


def guide(sandbox: AcrSandbox) -> str:
    """Return how to point the plugin at *sandbox*."""
    settings = "\n".join("  " + line for line in json.dumps(sandbox.settings(), indent=2).splitlines())
    image = sandbox.image.rpartition(":")[0]
    request = json.dumps(
        {
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "kind": "CredentialProviderRequest",
            "image": image,
        }
    )
    request = f"echo {shlex.quote(request)}"
    return GUIDE.format(**sandbox.document(), settings=settings, request=request, directory=sandbox.directory)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Alibaba Cloud's side of ACR, on loopback.")
    parser.add_argument("--directory", type=Path, help="where the CA, key files and settings.yaml go")
    parser.add_argument("--json", action="store_true", help="print where everything is as one line of JSON")
    parser.add_argument("--plain-http", action="store_true", help="serve the OpenAPI without TLS")
    parser.add_argument("--hardened", action="store_true", help="metadata answers only to requests with a token")
    parser.add_argument("--token-life", type=float, metavar="SECONDS", help="life of every registry login")
    for server in ("openapi", "sts", "registry", "metadata", "control"):
        parser.add_argument(f"--{server}-port", type=int, default=0, metavar="PORT", help="default: any free port")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="run this in a network namespace, then stop")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Serve until told to stop; return the exit status, COMMAND's if there is one."""
    options = parse(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ports = {
        server: getattr(options, f"{server}_port") for server in ("openapi", "sts", "registry", "metadata", "control")
    }
    with AcrSandbox(directory=options.directory, plain_http=options.plain_http, ports=ports) as sandbox:
        sandbox.state.token_life = options.token_life
        sandbox.node.hardened = options.hardened
        if options.command:
            return run_inside(sandbox, options.command)
        sys.stdout.write(json.dumps(sandbox.document()) + "\n" if options.json else guide(sandbox))
        sys.stdout.flush()
        stop.wait()
    return 0


def run_inside(sandbox: AcrSandbox, command: list[str]) -> int:
    """Run *command* where 100.100.100.200 is the sandbox; SANDBOX holds the addresses as JSON."""
    with NetworkNamespace() as namespace:
        sandbox.listen_in(namespace)
        environment = {**os.environ, "SANDBOX": json.dumps(sandbox.document())}
        return namespace.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
