"""The whole from outside: the plugin, run as the kubelet runs it."""

from __future__ import annotations

import json
import time
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, Any

from acr_credential_provider.cloud.transport_errors import CHECK_NETWORK
from acr_credential_provider.files import trusted_files
from acr_credential_provider.kubelet.image_match import strip_tag
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.remedy import uncoded
from acr_credential_provider.model.resource_limits import explained

from .token_attributes import forwarded_annotations

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from .context import DoctorContext

RUN_SECONDS = 60.0
"""After which the kubelet kills a plugin."""


def check_plugin_run(context: DoctorContext) -> str:
    """Run the plugin with the request of such a pull, and judge its response."""
    provider = context.provider
    words = [f"{context.kubelet.bin_dir}/{provider.name}", *provider.args]
    context.skip_without_pod()
    image = strip_tag(context.image) or f"{context.host}/any"
    request: dict[str, Any] = {"kind": "CredentialProviderRequest", "image": image, "apiVersion": provider.api_version}
    if context.pod is not None and provider.token is not None:
        annotations = forwarded_annotations(provider, context.pod.annotations)
        request |= {"serviceAccountToken": context.pod.token, "serviceAccountAnnotations": annotations}
    start = time.monotonic()
    remedy = CHECK_NETWORK
    try:
        with trusted_files.opened(words[0]) as program:
            done = program.run(
                words,
                stdin=json.dumps(request).encode() + b"\n",
                seconds=RUN_SECONDS,
                environment=context.environment,
            )
    except OSError as error:
        reason, remedy = explained(error, remedy=remedy)
        problem = f"it cannot be started: {reason}"
    except TimeoutExpired:
        problem = f"no answer within {RUN_SECONDS:.0f} s"
    else:
        problem, own = uncoded(_problem(done, provider.api_version, context.host), _line(done.stderr, "remedy: "))
        remedy = own or remedy
    if problem:
        raise ConfigurationError(f"the plugin, run as the kubelet does, failed: {problem}", remedy=remedy)
    return f"a login for {context.host} after {(time.monotonic() - start) * 1000:.0f} ms"


def _problem(done: CompletedProcess[bytes], api_version: str, host: str) -> str:
    """Return the problem of a run, "" for none. Its stdout holds a password and is not quoted."""
    if done.returncode:
        return (_line(done.stderr, "error: ") or f"exit code {done.returncode}")[:500]
    try:
        response = json.loads(done.stdout)
        auth, version = response["auth"], response["apiVersion"]
    except (ValueError, KeyError, TypeError):
        return "its answer is no CredentialProviderResponse"
    if version != api_version:
        return f"it answered in {version!r}, and {api_version} was asked for"[:200]
    return "" if any(key.partition("/")[0] == host for key in auth) else f"it has no login for {host}"


def _line(stderr: bytes, start: str) -> str:
    """Return the rest of the first line that begins with *start*."""
    lines = stderr.decode("utf-8", "replace").splitlines()
    return next((line.removeprefix(start) for line in lines if line.startswith(start)), "")
