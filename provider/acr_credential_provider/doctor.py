"""Walks a pull's path for real, step by step, and names the first step that is broken.

Each step is a name and a function that returns what it saw, or raises. It uses the same
parts as a pull, in a cache of nobody's, so that all is asked again and no answer of its own
is kept. It makes the node's cache folder if that is absent, as a pull does; and the plugin,
run as the kubelet runs it, remembers what it always does.
"""

from __future__ import annotations

import codecs
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .asking import Cloud, Way
from .cloud.answers import server_time
from .cloud.dial import addresses, dial
from .cloud.failures import CHECK_CLOCK, CHECK_DNS, CHECK_MIDDLEBOX, CHECK_NETWORK, HopError
from .cloud.metadata import MetadataService
from .cloud.registry_login import log_in
from .cloud.transport import HttpRequest, Transport
from .deadline import Deadline
from .errors import CloudUnreachableError, ConfigurationError, CredentialProviderError, IdentityUnavailableError
from .explain import NOWHERE, candidates, is_of_pods, of_the_node, roles_of, why_not
from .findings import SkippedError, Step
from .folders import prepare
from .hit import API_VERSIONS, exec_options
from .image import place_of, registry_of
from .kubelet_flags import as_kubelet_sees, closest, find_kubelet, mismatch, read_providers
from .locks import Locks
from .memo import Memos
from .pod_tokens import RESTART_KUBELET, judged_attributes, judged_right, judged_token, taken_along
from .protocol import CredentialProviderRequest
from .reach import Tools, called
from .settings import load
from .sources.login import read_login
from .store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .cloud.transport import HttpResponse
    from .kubelet_flags import Kubelet, Provider
    from .pod_tokens import Pod
    from .settings import Identity, ProviderSettings, Registry, ServiceAccountIdentity
    from .sources.interface import CredentialSource

NAME = "aliyun-acr-credential-provider"
STEP_SECONDS = 15.0
RUN_SECONDS = 60.0
"""After which the kubelet kills a plugin."""
MOST_SKEW = 14 * 60.0
"""Seconds. ACR refuses signatures that are off by 15 minutes."""
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
_NEEDS_A_POD = (
    "a pod's ServiceAccount asks, and its token is only there when the kubelet pulls for that pod; "
    "--token-file takes one from kubectl create token"
)
_LOADED_LATE = (
    "acr_credential_provider.cloud.sts",
    "acr_credential_provider.sources.access_key",
    "acr_credential_provider.sources.assumed_role",
    "acr_credential_provider.sources.managed_role",
    "acr_credential_provider.sources.node_role",
    "acr_credential_provider.sources.oidc_token",
    "acr_credential_provider.sources.private_file",
    "acr_credential_provider.sources.profile",
    "acr_credential_provider.sources.rrsa",
    "acr_credential_provider.sources.service_account",
    "acr_credential_provider.sources.sts_session",
    "certifi",
)
"""Modules that a pull imports only when it uses them."""


def enter(root: str) -> None:
    """Make the host whose root is mounted at *root* the world: its files, its /proc, its resolv.conf."""
    # This program is not there any more afterwards: what it loads late must be loaded now.
    for codec in ("ascii", "idna", "latin-1", "unicode_escape", "utf-8-sig"):
        codecs.lookup(codec)
    for module in _LOADED_LATE:
        try:
            import_module(module)
        except ImportError:  # what this installation does without, no step will miss
            continue
    try:
        os.chroot(root)
        os.chdir("/")
    except OSError as error:
        problem = f"cannot enter {root}: {os.strerror(error.errno or 0)}"
    else:
        return
    raise ConfigurationError(problem, remedy="Mount the host's / there, and run as root with CAP_SYS_CHROOT.")


class Examination:
    """The steps for one *image* ("" for the first entry of the settings), and what they have learnt so far.

    *settings* and *cache* hold unless the kubelet gives the plugin other ones. With *wants_kubelet*
    False the node's kubelet is left aside. With a *pod* the pull is for its ServiceAccount, else
    for a static pod. Raises `InvalidImageError`.
    """

    def __init__(
        self, image: str, *, settings: str, cache: str, wants_kubelet: bool = True, pod: Pod | None = None
    ) -> None:
        self._image = image
        self._pod = pod
        self._passed: dict[str, str] = dict(pod.annotations) if pod else {}
        self._settings_path = settings
        self._cache = cache
        self._wants_kubelet = wants_kubelet
        self._kubelet: Kubelet | None = None
        self._provider: Provider | None = None
        self._ours: list[Provider] = []
        self._others: list[Provider] = []
        self._host = registry_of(image) if image else ""
        self._where = place_of(image) if image else ""
        # What the steps find; each is set before the first step that uses it.
        self._settings: ProviderSettings
        self._cloud: Cloud
        self._registry: Registry
        self._way: Way | None
        self._answers: list[HttpResponse]
        self._login: tuple[str, str]

    def steps(self) -> tuple[Step, ...]:
        """Return the steps, in the order of a pull."""
        return (
            Step("kubelet", self._find_kubelet),
            Step("kubelet flags", self._check_flags),
            Step("kubelet config", self._check_config),
            Step("matchImages", self._check_match),
            Step("plugin file", self._check_file),
            Step("kubelet environment", self._take_environment),
            Step("settings", self._load_settings),
            Step("cache folder", self._check_cache),
            Step("entry", self._choose_entry),
            Step("ServiceAccount token", self._check_token),
            Step("right to ask for tokens", self._check_right),
            Step("metadata service", self._ask_metadata),
            Step("STS endpoint", self._reach_sts),
            Step("identity", self._find_identity),
            Step("proxy", self._check_proxy),
            Step("DNS", self._look_up),
            Step("ACR endpoint", self._reach_acr),
            Step("clock", self._check_clock),
            Step("hosts", self._check_hosts),
            Step("token", self._get_token),
            Step("registry login", self._log_in),
            Step("plugin as the kubelet runs it", self._run_plugin),
        )

    # What the kubelet was told.

    def _find_kubelet(self) -> str:
        if not self._wants_kubelet:
            raise SkippedError("not wanted")
        self._kubelet = find_kubelet()
        if self._kubelet is None:
            raise SkippedError("none is to be seen here (in a pod: hostPID and --host-root)")
        return f"process {self._kubelet.pid}"

    def _seen_kubelet(self) -> Kubelet:
        if self._kubelet is None:
            raise SkippedError("no kubelet")
        return self._kubelet

    def _check_flags(self) -> str:
        kubelet = self._seen_kubelet()
        flags = {
            "--image-credential-provider-config": kubelet.config,
            "--image-credential-provider-bin-dir": kubelet.bin_dir,
        }
        missing = [name for name, value in flags.items() if not value]
        if missing:
            raise ConfigurationError(
                f"the kubelet (process {kubelet.pid}) was started without {' and '.join(missing)}",
                remedy=f"Add {' and '.join(f'{name}=...' for name in missing)} to its flags, then: {RESTART_KUBELET}",
            )
        return " ".join(f"{name}={value}" for name, value in flags.items())

    def _check_config(self) -> str:
        kubelet = self._seen_kubelet()
        providers = read_providers(kubelet.config)
        ours = [each for each in providers if _is_this_program(f"{kubelet.bin_dir}/{each.name}")]
        if not ours:
            named = ", ".join(each.name for each in providers)
            raise ConfigurationError(
                f"no provider in {kubelet.config} is this program; there are: {named}",
                remedy=f"Add a provider with name: {NAME}, then: {RESTART_KUBELET}",
            )
        seen = as_kubelet_sees(self._image)
        for each in ours:
            if exec_options(list(each.args)) is None:
                raise ConfigurationError(
                    f"{each.file} gives {each.name} args that it does not understand",
                    remedy=f"Use --settings=/FILE and --cache=/FOLDER only, then: {RESTART_KUBELET}",
                )
        matching = [each for each in ours if any(not mismatch(pattern, seen) for pattern in each.match_images)]
        self._ours = matching or ours
        self._others = [each for each in ours if each not in self._ours]
        self._provider = min(self._ours, key=lambda each: (each.token is None) == bool(self._pod))
        changed = os.stat(self._provider.file).st_mtime
        if kubelet.started is not None and changed > kubelet.started + 2:
            raise ConfigurationError(
                f"{self._provider.file} was changed after the kubelet started, which reads it once",
                remedy=f"Run: {RESTART_KUBELET}",
            )
        return f"provider {self._provider.name} in {self._provider.file}"

    def _our_provider(self) -> tuple[Kubelet, Provider]:
        if self._kubelet is None or self._provider is None:
            raise SkippedError("no kubelet")
        return self._kubelet, self._provider

    def _check_match(self) -> str:
        _, provider = self._our_provider()
        if not self._image:
            raise SkippedError("no IMAGE was given")
        seen = as_kubelet_sees(self._image)
        pattern, reason = closest(provider.match_images, seen)
        if reason:
            raise ConfigurationError(
                f"no pattern in matchImages of {provider.name} matches {seen}; the nearest is {pattern}, but {reason}",
                remedy=f'Add "{self._host}" to its matchImages in {provider.file}, then: {RESTART_KUBELET}',
            )
        return f"{pattern} matches {seen}"

    def _check_file(self) -> str:
        kubelet, provider = self._our_provider()
        path = f"{kubelet.bin_dir}/{provider.name}"
        target = os.path.realpath(path)
        try:
            seen = os.stat(target)
        except OSError:
            raise ConfigurationError(
                f"{path} is not there" + (f" (it leads to {target})" if target != path else ""),
                remedy="Install the program there again; the kubelet does not start without it.",
            ) from None
        if not os.access(target, os.X_OK) or not seen.st_mode & 0o111:
            raise ConfigurationError(f"{target} is not executable", remedy=f"Run: chmod 0755 {target}")
        for each in (kubelet.bin_dir, target):
            status = os.stat(each)
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
                raise ConfigurationError(
                    f"{each} can be changed by others than root, and the kubelet runs what is there as root",
                    remedy=f"Run: chown root:root {each}; chmod go-w {each}",
                )
        return path if path == target else f"{path} -> {target}"

    def _take_environment(self) -> str:
        kubelet, provider = self._our_provider()
        options = exec_options(list(provider.args))
        if options is not None:
            self._settings_path, self._cache = options["--settings"], options["--cache"]
        theirs, ours = _network_of(str(kubelet.pid)), _network_of("self")
        if theirs and ours and theirs != ours:
            raise ConfigurationError(
                "this runs in another network than the kubelet, so what it reaches says nothing about the kubelet",
                remedy="Run the pod with hostNetwork: true, or on the node itself.",
            )
        # From here on the parts of a pull see what they would see below the kubelet.
        os.environ.clear()
        os.environ.update(_printable({**kubelet.environ, **provider.env}))
        proxies = [name for name in PROXY_VARIABLES if os.environ.get(name)]
        return f"settings {self._settings_path}, cache {self._cache}, {' '.join(proxies) or 'no proxy variables'}"

    # What a pull does.

    def _load_settings(self) -> str:
        self._settings = load(self._settings_path)
        return f"{self._settings_path}, {len(self._settings.registries)} registries"

    def _check_cache(self) -> str:
        remedy = f"Make {self._cache} a folder on a disk that is writable and has space, or name another with --cache."
        try:
            prepare(self._cache)
            with TemporaryFile(dir=f"{self._cache}/memo") as file:  # without a name: a kill leaves nothing
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            problem = f"nothing can be kept in {self._cache}: {os.strerror(error.errno or 0)}"
        else:
            return self._cache
        raise ConfigurationError(f"{problem}; each pull asks the cloud anew", remedy=remedy)

    def _choose_entry(self) -> str:
        registries = self._settings.registries
        self._cloud = self._new_cloud()
        if not self._host:
            self._registry = registries[0]
            self._host = registries[0].domains[0] if registries[0].domains else ""
            self._where = self._host
            return f"registries[0] ({called(self._registry)}), because no IMAGE was given"
        found = candidates(self._where, registries)
        if not found:
            reason = why_not(self._where, registries)
            nearest = f"; nearest: {reason.nearest}" if reason.nearest else ""
            raise ConfigurationError(reason.why + nearest, remedy=reason.remedy)
        self._registry = registries[found[0]]
        if self._host in self._registry.domains:
            return f"registries[{found[0]}] ({called(self._registry)}) has {self._host}"
        return "it may be of " + ", ".join(f"registries[{index}]" for index in found) + ", which name no domains"

    def _new_cloud(self, transport: type[Transport] = Transport) -> Cloud:
        deadline = Deadline(STEP_SECONDS)
        tools = Tools(
            settings_path=self._settings_path,
            store_folder=NOWHERE,
            memos=Memos(NOWHERE),
            locks=Locks(NOWHERE),
            deadline=deadline,
            patience=deadline,
            say_stage=str,
            transport=transport,
        )
        return Cloud(self._settings, request=self._request(), store=Store(NOWHERE), machine="", tools=tools)

    def _request(self) -> CredentialProviderRequest:
        """Return the question of the pod, or that of a static one: without a ServiceAccount token."""
        image = self._image or f"{self._host}/any"
        if self._pod is None:
            return CredentialProviderRequest(API_VERSIONS[0], image)
        return CredentialProviderRequest(API_VERSIONS[0], image, self._pod.token, self._passed)

    def _pods_identity(self) -> ServiceAccountIdentity:
        identity = self._registry.identity
        if identity.kind != "serviceAccount":
            raise SkippedError(f"not needed by the identity {identity.kind}")
        return identity

    def _check_token(self) -> str:
        identity = self._pods_identity()
        token = judged_token(self._pod, identity)
        whose = f"of {token.namespace}/{token.name}, " if token else ""
        if self._provider is None:
            if token is None:
                raise SkippedError("no kubelet")
            return f"{whose}for {identity.audience}; no kubelet, so with all annotations that were given"
        provider = next((each for each in self._ours if each.token), self._provider)
        told = judged_attributes(identity, provider, beside=self._ours, not_matching=self._others, host=self._host)
        if self._pod is not None:
            self._passed = taken_along(provider, self._pod.annotations)
        return whose + told

    def _check_right(self) -> str:
        identity = self._pods_identity()
        return judged_right(self._seen_kubelet().kubeconfig, identity, judged_token(self._pod, identity))

    def _ask_metadata(self) -> str:
        identity = self._registry.identity
        substitutes = getattr(identity, "without_role", ""), getattr(identity, "static_pods", "")
        needs_role = "nodeRole" in (identity.kind, *substitutes)
        if identity.kind == "login" or (not needs_role and self._registry.region):
            raise SkippedError(f"not needed by the identity {identity.kind}, nor for the region")
        allow_v1 = bool(getattr(identity, "allow_metadata_v1", False))
        service = MetadataService(
            self._new_cloud().reach.transport(STEP_SECONDS),
            endpoint=self._settings.endpoints.metadata,
            allow_v1=allow_v1,
        )
        return f"this node is in {service.region_id()}"

    def _reach_sts(self) -> str:
        if not (self._registry.assume_role or self._registry.identity.kind in ("rrsa", "serviceAccount")):
            raise SkippedError("no role is assumed")
        answers, told = self._answers_of(self._sts_endpoints())
        _judged_clock(answers, "STS's")
        return told

    def _sts_endpoints(self) -> list[str]:
        """Return where a pull would ask STS, in order: by asking as a pull does, short of sending it."""
        from .cloud.sts import WantedRole  # noqa: PLC0415 - for those alone who have roles to assume

        asked: list[str] = []

        class Noting(Transport):
            def send(self, request: HttpRequest) -> HttpResponse:
                base, _, query = request.url.partition("?")
                if "Action=AssumeRoleWithOIDC" not in query:  # the metadata service tells which STS is near
                    return super().send(request)
                asked.append(base.rstrip("/"))
                raise HopError("not asked", remedy="", elsewhere=True)

        sts = self._new_cloud(Noting).reach.sts(self._registry, "", STEP_SECONDS)
        with suppress(CloudUnreachableError):
            sts.assume_role_with_oidc(WantedRole("", ""), provider_arn="", token="")
        return asked

    def _find_identity(self) -> str:
        identity = self._registry.identity
        if identity.kind == "login":
            login = read_login(identity.username_file, identity.password_file)
            self._login, self._way = (login.username, login.password), None
            return f"login: from {identity.username_file}, {identity.password_file}"
        if self._needs_pod():
            self._way = self._new_cloud().way(of_the_node(self._registry))
            roles = "; ".join(roles_of(identity)) if identity.kind == "serviceAccount" else ""
            raise SkippedError(f"{_NEEDS_A_POD}; roles: {roles}")
        # One cloud for all hops: it keeps the sessions that it got, so each role is asked for once.
        cloud, told = self._new_cloud(), ""
        for hops in range(len(self._registry.assume_role) + 1):
            told += self._hop(cloud, hops)
        self._way = cloud.way(self._registry)
        return told

    def _hop(self, cloud: Cloud, hops: int) -> str:
        """Find the identity after its first *hops* roles; say what was got, or raise by which hop it was not."""
        identity, chain = self._registry.identity, self._registry.assume_role
        try:
            way = cloud.way(self._registry.model_copy(update={"assume_role": chain[:hops]}))
            credential = way.source.find(self._request())
        except CredentialProviderError as error:
            if chain:
                hop = f"assumeRole[{hops - 1}]" if hops else f"identity {identity.kind}"
                error.problem = f"{hop}: {error.problem}"
            raise
        if credential is None:
            raise IdentityUnavailableError(
                f"the identity {identity.kind} does not apply here",
                remedy="Choose another identity for that entry in the settings.",
            )
        if hops:
            return f", then of {chain[hops - 1].role_arn}"
        kind = "a session" if credential.security_token else "an access key"
        where = ", ".join(way.source.files()) or _issuer(identity, _role_of(way.source, self._request()))
        return f"{identity.kind}: {kind} from {where}"

    def _needs_pod(self) -> bool:
        return is_of_pods(self._registry) and self._pod is None

    def _acr(self) -> Way:
        if self._way is None:
            raise SkippedError("a login needs nothing of ACR's OpenAPI")
        return self._way

    def _targets(self) -> list[tuple[str, int]]:
        """Return host and port of each endpoint of ACR, in order of trial."""
        parts = [urlsplit(each) for each in self._acr().endpoints]
        return [(each.hostname or "", each.port or 443) for each in parts]

    def _check_proxy(self) -> str:
        ways = {f"{host}:{port}": self._cloud.reach.proxy.proxy_for(host, port) for host, port in self._targets()}
        proxies = {f"{proxy.host}:{proxy.port}": proxy for proxy in ways.values() if proxy}
        if not proxies:
            raise SkippedError("none leads to ACR" if self._cloud.reach.proxy.https_proxy else "none is set")
        for name, proxy in proxies.items():
            _reach(proxy.host, proxy.port, f"the proxy {name}")
        return ", ".join(f"{each} by way of {proxy.host}:{proxy.port}" for each, proxy in ways.items() if proxy)

    def _look_up(self) -> str:
        names = [host for host, port in self._targets() if not self._cloud.reach.proxy.proxy_for(host, port)]
        if not names:
            raise SkippedError("the proxy looks the names up")
        failures = {}
        for name in names:
            try:
                addresses(name, 443, Deadline(3.0))
            except TimeoutError:
                failures[name] = f"DNS did not answer for {name} within 3 s"
            except OSError:
                failures[name] = f"DNS knows no address for {name}"
        if len(failures) == len(names):
            raise CloudUnreachableError("; ".join(failures.values()), remedy=CHECK_DNS)
        return "; ".join([*(name for name in names if name not in failures), *failures.values()])

    def _reach_acr(self) -> str:
        self._answers, told = self._answers_of(self._acr().endpoints)
        return told

    def _answers_of(self, endpoints: Iterable[str]) -> tuple[list[HttpResponse], str]:
        """Return what those of *endpoints* say that answer, and a word on each; raise when none does."""
        answers: list[HttpResponse] = []
        told: list[str] = []
        failures: list[HopError] = []
        for url in endpoints:
            try:
                response = self._new_cloud().reach.transport(5.0).send(HttpRequest("GET", f"{url}/"))
            except HopError as error:
                failures.append(error)
                told.append(error.problem)
                continue
            if "html" in response.headers.get("content-type", "").lower():
                failures.append(HopError(f"{url} answers with a web page", remedy=CHECK_MIDDLEBOX))
                told.append(failures[-1].problem)
                continue
            answers.append(response)
            told.append(f"{url} answers")
        if not answers:
            raise CloudUnreachableError("; ".join(told), remedy=failures[-1].remedy)
        return answers, "; ".join(told)

    def _check_clock(self) -> str:
        self._acr()
        told = _judged_clock(self._answers, "ACR's")
        if not told:
            raise SkippedError("the answer had no Date")
        return told

    def _check_hosts(self) -> str:
        if self._host in self._registry.domains:
            raise SkippedError("the settings name the host")
        if not self._host:
            raise SkippedError("no IMAGE was given")
        if self._needs_pod():
            raise SkippedError(f"{_NEEDS_A_POD}; name {self._host} in domains, and ACR is not asked for it")
        found = self._new_cloud().coverage(self._where).registry
        if found is None:
            raise ConfigurationError(
                f"ACR does not list {self._host} as a host of any entry that it may belong to",
                remedy="Check the host, the entry's instanceId, and that this entrance (public or VPC) is on.",
            )
        self._registry = found
        self._way = self._new_cloud().way(found)
        if not found.instance_id:
            raise SkippedError("all accounts of a region share this host")
        return f"ACR lists {self._host} as one of {found.instance_id}'s"

    def _get_token(self) -> str:
        self._acr()
        if self._needs_pod():
            raise SkippedError(_NEEDS_A_POD)
        with self._new_cloud().token(self._registry) as (token, _):
            self._login = token.username, token.password
        return f"of {called(self._registry)}, usable for {(token.dead_at - time.time()) / 60:.0f} min"

    def _log_in(self) -> str:
        if not self._host:
            raise SkippedError("no IMAGE was given, and the settings name no host")
        if self._needs_pod():
            raise SkippedError(_NEEDS_A_POD)
        path = self._image.partition("/")[2]
        reference = path.partition("@")[2] or path.rpartition("/")[2].partition(":")[2] or "latest"
        return log_in(
            self._new_cloud().reach.transport(STEP_SECONDS),
            self._host,
            username=self._login[0],
            password=self._login[1],
            repository=as_kubelet_sees(self._image).partition("/")[2],
            reference=reference,
        )

    # And the whole, from outside.

    def _run_plugin(self) -> str:
        kubelet, provider = self._our_provider()
        if self._needs_pod():
            raise SkippedError(_NEEDS_A_POD)
        image = as_kubelet_sees(self._image) or f"{self._host}/any"
        request: dict[str, Any] = {"kind": "CredentialProviderRequest", "image": image}
        request["apiVersion"] = provider.api_version
        if self._pod is not None and provider.token is not None:
            annotations = taken_along(provider, self._pod.annotations)
            request |= {"serviceAccountToken": self._pod.token, "serviceAccountAnnotations": annotations}
        began = time.monotonic()
        try:
            done = subprocess.run(  # noqa: S603 - the very program that the kubelet runs
                [f"{kubelet.bin_dir}/{provider.name}", *provider.args],
                input=json.dumps(request).encode() + b"\n",
                capture_output=True,
                env=dict(os.environ),
                cwd="/",
                timeout=RUN_SECONDS,
                check=False,
            )
        except OSError as error:
            problem, said = f"it cannot be started: {os.strerror(error.errno or 0)}", ""
        except subprocess.TimeoutExpired:
            problem, said = f"no answer within {RUN_SECONDS:.0f} s", ""
        else:
            problem, said = _judged(done, provider.api_version, self._host), done.stderr.decode("utf-8", "replace")
        if problem:
            remedy = next((line[8:] for line in said.splitlines() if line.startswith("remedy: ")), CHECK_NETWORK)
            raise ConfigurationError(f"the plugin, run as the kubelet does, failed: {problem}", remedy=remedy)
        return f"a login for {self._host} after {(time.monotonic() - began) * 1000:.0f} ms"


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


def _judged_clock(answers: Iterable[HttpResponse], whose: str) -> str:
    """Say how this node's clock is beside that of the first of *answers* with a time, "" without one.

    Raises `ConfigurationError` when it is off by more than signatures bear.
    """
    date = next((date for date in map(server_time, answers) if date is not None), None)
    if date is None:
        return ""
    off = time.time() - date
    told = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} {whose}"
    if abs(off) > MOST_SKEW:
        raise ConfigurationError(
            f"this node's clock is {told}, and signatures are good for 15 minutes only", remedy=CHECK_CLOCK
        )
    return f"this node's is {told}" if abs(off) > 2 else "right"


def _role_of(source: CredentialSource, request: CredentialProviderRequest) -> str:
    from .sources.service_account import ServiceAccountSource  # noqa: PLC0415 - with the identity that has it

    return source.role_of(request) or "" if isinstance(source, ServiceAccountSource) else ""


def _issuer(identity: Identity, role: str) -> str:
    """Return where the credentials of an *identity* without files of its own come from; *role* is a pod's own."""
    if identity.kind == "rrsa":
        return "STS, for a ServiceAccount token in a file"
    if identity.kind == "serviceAccount":
        if role:
            return f"STS, of {role}"
        return "the metadata service, as pods without a role have it"
    return "the metadata service"


def _is_this_program(path: str) -> bool:
    target = os.path.realpath(path)
    return os.path.basename(target) == NAME or os.path.basename(path) == NAME or target == os.path.realpath(sys.argv[0])


def _network_of(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:  # not ours to see: nothing to compare
        return ""


def _printable(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name and "\0" not in name + value and "=" not in name}


def _reach(host: str, port: int, what: str) -> None:
    """Connect to *host*:*port*, or raise `CloudUnreachableError` about *what*."""
    try:
        dial(host, port, Deadline(3.0)).close()
    except TimeoutError:
        problem = f"{what} does not answer within 3 s"
    except OSError as error:
        number = error.errno or 0  # below 0 it is getaddrinfo's
        problem = f"{what} cannot be reached: {os.strerror(number) if number > 0 else 'its name has no address'}"
    else:
        return
    raise CloudUnreachableError(
        problem, remedy="Correct the proxy in the settings, or HTTPS_PROXY in the kubelet's environment, or start it."
    )
