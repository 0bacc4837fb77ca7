"""The whole from outside: the plugin, run as the kubelet runs it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from acr_credential_provider.cloud.transport_errors import CHECK_NETWORK
from acr_credential_provider.console.checks import SkippedError
from acr_credential_provider.files import trusted_files
from acr_credential_provider.kubelet.image_match import as_kubelet_sees
from acr_credential_provider.model.errors import ConfigurationError

from .context import NEEDS_A_POD
from .token_attributes import forwarded_annotations

if TYPE_CHECKING:
    from .context import DoctorContext

RUN_SECONDS = 60.0
"""After which the kubelet kills a plugin."""


def run_plugin(case: DoctorContext) -> str:
    """Run the plugin with the request of such a pull, and judge its answer."""
    kubelet, provider = case.our_provider()
    if case.needs_pod():
        raise SkippedError(NEEDS_A_POD)
    image = as_kubelet_sees(case.image) or f"{case.host}/any"
    request: dict[str, Any] = {"kind": "CredentialProviderRequest", "image": image}
    request["apiVersion"] = provider.api_version
    if case.pod is not None and provider.token is not None:
        annotations = forwarded_annotations(provider, case.pod.annotations)
        request |= {"serviceAccountToken": case.pod.token, "serviceAccountAnnotations": annotations}
    began = time.monotonic()
    words = [f"{kubelet.bin_dir}/{provider.name}", *provider.args]
    try:
        with trusted_files.opened(words[0]) as program:
            done = subprocess.run(  # noqa: S603 - the very program that the kubelet runs
                words,
                executable=program.executable,
                pass_fds=(program.descriptor,),
                input=json.dumps(request).encode() + b"\n",
                capture_output=True,
                env=case.environment,
                cwd="/",
                timeout=RUN_SECONDS,
                check=False,
            )
    except OSError as error:
        problem, said = f"it cannot be started: {os.strerror(error.errno or 0)}", ""
    except subprocess.TimeoutExpired:
        problem, said = f"no answer within {RUN_SECONDS:.0f} s", ""
    else:
        problem, said = _judged(done, provider.api_version, case.host), done.stderr.decode("utf-8", "replace")
    if problem:
        remedy = next((line[8:] for line in said.splitlines() if line.startswith("remedy: ")), CHECK_NETWORK)
        raise ConfigurationError(f"the plugin, run as the kubelet does, failed: {problem}", remedy=remedy)
    return f"a login for {case.host} after {(time.monotonic() - began) * 1000:.0f} ms"


def _judged(done: subprocess.CompletedProcess[bytes], api_version: str, host: str) -> str:
    """Return what is wrong with a run, "" for nothing. Its stdout holds a password and is not quoted."""
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        said = next((line[7:] for line in lines if line.startswith("error: ")), f"exit code {done.returncode}")
        return said[:500]
    try:
        answer = json.loads(done.stdout)
        auth, answered = answer["auth"], answer["apiVersion"]
    except (ValueError, KeyError, TypeError):
        return "its answer is no CredentialProviderResponse"
    if answered != api_version:
        return f"it answered in {answered!r}, and {api_version} was asked for"[:200]
    return "" if any(key.partition("/")[0] == host for key in auth) else f"it has no login for {host}"
