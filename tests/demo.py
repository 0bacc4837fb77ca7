"""The main job, shown: a kubelet's request, our answer, an image pulled with it, and the same from the node's disk.

Everything real but the cloud, which is the sandbox on loopback. `make demo` runs it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from sandbox import AcrSandbox
from sandbox.pull import PullError, pull
from support import harness

NEXT = f"""
What next:
   {harness.FROZEN.relative_to(harness.ROOT)} --help
   docs/install/README.md says how to install it on your nodes, and what it needs of your account.
   make test (as root) runs all tests that need no cluster; make unit runs the fast ones."""


def main() -> int:
    with AcrSandbox() as sandbox, tempfile.TemporaryDirectory(prefix="acr-demo-") as folder:
        program = harness.frozen(sandbox.settings_file, Path(folder) / "cache")
        image = sandbox.image.partition(":latest")[0]
        print(f"The ACR sandbox is up: OpenAPI {sandbox.openapi.url}, registry {sandbox.registry.address}.")
        print(f"\n1. The kubelet asks for {image}:")
        print("  ", harness.request(image).decode().strip())
        first = program.ask(image)
        if first.code:
            return failed("the plugin gave no answer", first.stderr.decode())
        print(f"\n2. The plugin answers after {first.seconds * 1000:.0f} ms (API calls: {calls(sandbox)}):")
        print("  ", shown(first))
        username, password = first.login(sandbox.registry.address)
        try:
            pulled = pull(sandbox.image, username, password, ca_file=str(sandbox.ca_file))
        except PullError as error:
            return failed("the registry did not accept the login", str(error))
        print("\n3. The registry accepts it: manifest and blobs pulled, digests verified:")
        print("  ", pulled)
        second = program.ask(image)
        if second.code or second.login(sandbox.registry.address) != (username, password):
            return failed("the second answer differs", second.stderr.decode())
        if sandbox.calls.count("GetAuthorizationToken") != 1:
            return failed("the second answer did not come from the node's disk", str(calls(sandbox)))
        print(f"\n4. Asked again: from the node's disk, after {second.seconds * 1000:.0f} ms and no API call.")
    print(NEXT)
    return 0


def calls(sandbox: AcrSandbox) -> dict[str, int]:
    return {name: count for name, count in sandbox.calls.counts().items() if not name.startswith("registry.")}


def shown(ended: harness.Ended) -> str:
    """Return the answer as text, its password hidden: people paste what they see."""
    answer = ended.document
    for login in answer["auth"].values():
        login["password"] = f"<{len(login['password'])} characters>"
    return json.dumps(answer)


def failed(problem: str, detail: str) -> int:
    print(f"\nerror: {problem}: {detail.strip()}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
