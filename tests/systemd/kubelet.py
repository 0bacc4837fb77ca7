"""Stands in for a kubelet in the test's machine: reads its flags and config, and exits, as the real one does.

What it makes of the CredentialProviderConfig is decided by a kubelet's own code: the program ``lookup``, built from
k8s.io/kubernetes at the version that is installed beside it.
"""

import http.server
import os
import subprocess
import sys

HERE = "/usr/lib/standin"
NAMES = ("image-credential-provider-config", "image-credential-provider-bin-dir")


def flags(words):
    found = dict.fromkeys(NAMES, "")
    for word in words:
        name, _, value = word.removeprefix("--").partition("=")
        if name in found:
            found[name] = value  # the last one holds
    return [found[name] for name in NAMES]


def log(text):
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Healthz(http.server.BaseHTTPRequestHandler):
    is_sick = False

    def do_GET(self):
        self.send_response(500 if self.is_sick else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


def main(words):
    with open(f"{HERE}/version") as file:
        version = file.read().strip()
    if words == ["--", "--version"]:  # the first is what kubelet.c puts there
        sys.stdout.write(f"Kubernetes {version}.0\n")
        return 0
    config, bin_dir = flags(words)
    if config or bin_dir:
        # An image that no pattern matches: it registers, as at a kubelet's start, and asks nobody.
        judged = subprocess.run([f"{HERE}/lookup-{version}", config, bin_dir, "nowhere.invalid/x"], check=False)
        if judged.returncode:
            return 1
        if os.path.exists(f"{HERE}/crashes-with-providers"):
            log("Failed to register CRI auth plugins: as the test wants it")
            return 1
        Healthz.is_sick = os.path.exists(f"{HERE}/sick-with-providers")
    http.server.HTTPServer(("127.0.0.1", 10248), Healthz).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
