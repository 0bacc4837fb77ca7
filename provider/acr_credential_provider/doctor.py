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
from dataclasses import asdict, dataclass
from importlib import import_module
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .acquire import Cloud, Tools, Way, called
from .cloud.answers import server_time
from .cloud.dial import addresses, dial
from .cloud.failures import CHECK_DNS, CHECK_MIDDLEBOX, CHECK_NETWORK, HopError
from .cloud.metadata import MetadataService
from .cloud.registry_login import log_in
from .cloud.transport import HttpRequest
from .deadline import Deadline
from .errors import CloudUnreachableError, ConfigurationError, CredentialProviderError, IdentityUnavailableError
from .explain import NOWHERE, candidates, why_not
from .folders import prepare
from .hit import API_VERSIONS, exec_options
from .image import place_of, registry_of
from .kubelet_flags import as_kubelet_sees, closest, find_kubelet, mismatch, read_providers
from .locks import Locks
from .memo import Memos
from .protocol import CredentialProviderRequest
from .settings import load
from .sources.login import read_login
from .store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .cloud.transport import HttpResponse
    from .kubelet_flags import Kubelet, Provider
    from .settings import ProviderSettings, Registry

OK, FAILED, SKIPPED, NOT_TRIED = "ok", "failed", "skipped", "not tried"
NAME = "aliyun-acr-credential-provider"
STEP_SECONDS = 15.0
RUN_SECONDS = 60.0
"""After which the kubelet kills a plugin."""
MOST_SKEW = 14 * 60.0
"""Seconds. ACR refuses signatures that are off by 15 minutes."""
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
_RESTART_KUBELET = "systemctl restart kubelet"
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


class SkippedError(Exception):
    """This step does not apply here; its text says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to try; *run* returns what it saw, raises `CredentialProviderError` or `SkippedError`."""

    name: str
    run: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a step: ``ok`` and what was *seen*, ``failed``, ``skipped`` and why, or ``not tried``."""

    name: str
    outcome: str
    seen: str = ""
    problem: str = ""
    remedy: str = ""


def examine(steps: Iterable[Step]) -> list[Finding]:
    """Try *steps* in order until one fails; those after it are not tried."""
    findings: list[Finding] = []
    is_broken = False
    for step in steps:
        if is_broken:
            findings.append(Finding(step.name, NOT_TRIED))
            continue
        try:
            findings.append(Finding(step.name, OK, seen=step.run()))
        except SkippedError as reason:
            findings.append(Finding(step.name, SKIPPED, seen=str(reason)))
        except CredentialProviderError as error:
            findings.append(Finding(step.name, FAILED, problem=error.problem, remedy=error.remedy))
            is_broken = True
        except Exception as error:  # noqa: BLE001 - its text may hold anything, so only its type is told
            problem = f"unforeseen {type(error).__name__}"
            findings.append(Finding(step.name, FAILED, problem=problem, remedy="Report it, with this version."))
            is_broken = True
    return findings


def text(findings: Iterable[Finding]) -> str:
    """Return *findings* as lines for a terminal."""
    lines = []
    for each in findings:
        told = each.seen or each.problem
        lines.append(f"{each.outcome:<9}  {each.name}{': ' + told if told else ''}")
        if each.remedy:
            lines.append(f"{'':<9}  remedy: {each.remedy}")
    return "\n".join(lines)


def document(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return *findings* as the JSON that ``--output json`` prints."""
    steps = [{name: value for name, value in asdict(each).items() if value} for each in findings]
    return {"healthy": all(each["outcome"] != FAILED for each in steps), "steps": steps}


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
    False the node's kubelet is left aside. Raises `InvalidImageError`.
    """

    def __init__(self, image: str, *, settings: str, cache: str, wants_kubelet: bool = True) -> None:
        self._image = image
        self._settings_path = settings
        self._cache = cache
        self._wants_kubelet = wants_kubelet
        self._kubelet: Kubelet | None = None
        self._provider: Provider | None = None
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
            Step("metadata service", self._ask_metadata),
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
                remedy=f"Add {' and '.join(f'{name}=...' for name in missing)} to its flags, then: {_RESTART_KUBELET}",
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
                remedy=f"Add a provider with name: {NAME}, then: {_RESTART_KUBELET}",
            )
        seen = as_kubelet_sees(self._image)
        for each in ours:
            if exec_options(list(each.args)) is None:
                raise ConfigurationError(
                    f"{each.file} gives {each.name} args that it does not understand",
                    remedy=f"Use --settings=/FILE and --cache=/FOLDER only, then: {_RESTART_KUBELET}",
                )
        matching = [each for each in ours if any(not mismatch(pattern, seen) for pattern in each.match_images)]
        self._provider = min(matching or ours, key=lambda each: each.has_token)
        changed = os.stat(self._provider.file).st_mtime
        if kubelet.started is not None and changed > kubelet.started + 2:
            raise ConfigurationError(
                f"{self._provider.file} was changed after the kubelet started, which reads it once",
                remedy=f"Run: {_RESTART_KUBELET}",
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
                remedy=f'Add "{self._host}" to its matchImages in {provider.file}, then: {_RESTART_KUBELET}',
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

    def _new_cloud(self) -> Cloud:
        deadline = Deadline(STEP_SECONDS)
        tools = Tools(
            settings_path=self._settings_path,
            store_folder=NOWHERE,
            memos=Memos(NOWHERE),
            locks=Locks(NOWHERE),
            deadline=deadline,
            patience=deadline,
            say_stage=str,
        )
        request = CredentialProviderRequest(API_VERSIONS[0], self._image or f"{self._host}/any")
        return Cloud(self._settings, request=request, store=Store(NOWHERE), machine="", tools=tools)

    def _ask_metadata(self) -> str:
        identity = self._registry.identity
        if identity.kind == "login" or (identity.kind != "nodeRole" and self._registry.region):
            raise SkippedError(f"not needed by the identity {identity.kind}, nor for the region")
        allow_v1 = bool(getattr(identity, "allow_metadata_v1", False))
        service = MetadataService(
            self._new_cloud().transport(STEP_SECONDS), endpoint=self._settings.endpoints.metadata, allow_v1=allow_v1
        )
        return f"this node is in {service.region_id()}"

    def _find_identity(self) -> str:
        identity = self._registry.identity
        if identity.kind == "login":
            login = read_login(identity.username_file, identity.password_file)
            self._login, self._way = (login.username, login.password), None
            return f"login: from {identity.username_file}, {identity.password_file}"
        self._way = self._new_cloud().way(self._registry)
        credential = self._way.source.find(None)
        if credential is None:
            raise IdentityUnavailableError(
                f"the identity {identity.kind} does not apply here",
                remedy="Choose another identity for that entry in the settings.",
            )
        kind = "a session" if credential.security_token else "an access key"
        place = ", ".join(self._way.source.files()) or "the metadata service"
        return f"{identity.kind}: {kind} from {place}"

    def _acr(self) -> Way:
        if self._way is None:
            raise SkippedError("a login needs nothing of ACR's OpenAPI")
        return self._way

    def _targets(self) -> list[tuple[str, int]]:
        """Return host and port of each endpoint of ACR, in order of trial."""
        parts = [urlsplit(each) for each in self._acr().endpoints]
        return [(each.hostname or "", each.port or 443) for each in parts]

    def _check_proxy(self) -> str:
        ways = {f"{host}:{port}": self._cloud.proxy.proxy_for(host, port) for host, port in self._targets()}
        proxies = {f"{proxy.host}:{proxy.port}": proxy for proxy in ways.values() if proxy}
        if not proxies:
            raise SkippedError("none leads to ACR" if self._cloud.proxy.https_proxy else "none is set")
        for name, proxy in proxies.items():
            _reach(proxy.host, proxy.port, f"the proxy {name}")
        return ", ".join(f"{each} by way of {proxy.host}:{proxy.port}" for each, proxy in ways.items() if proxy)

    def _look_up(self) -> str:
        names = [host for host, port in self._targets() if not self._cloud.proxy.proxy_for(host, port)]
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
        self._answers, told, failures = [], [], []
        for url in self._acr().endpoints:
            try:
                response = self._new_cloud().transport(5.0).send(HttpRequest("GET", f"{url}/"))
            except HopError as error:
                failures.append(error)
                told.append(error.problem)
                continue
            if "html" in response.headers.get("content-type", "").lower():
                failures.append(HopError(f"{url} answers with a web page", remedy=CHECK_MIDDLEBOX))
                told.append(failures[-1].problem)
                continue
            self._answers.append(response)
            told.append(f"{url} answers")
        if not self._answers:
            raise CloudUnreachableError("; ".join(told), remedy=failures[-1].remedy)
        return "; ".join(told)

    def _check_clock(self) -> str:
        self._acr()
        dates = [date for date in map(server_time, self._answers) if date is not None]
        if not dates:
            raise SkippedError("the answer had no Date")
        off = time.time() - dates[0]
        told = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} ACR's"
        if abs(off) > MOST_SKEW:
            raise ConfigurationError(
                f"this node's clock is {told}, and signatures are good for 15 minutes only",
                remedy="Correct this node's clock (chrony or ntp).",
            )
        return f"this node's is {told}" if abs(off) > 2 else "right"

    def _check_hosts(self) -> str:
        if self._host in self._registry.domains:
            raise SkippedError("the settings name the host")
        if not self._host:
            raise SkippedError("no IMAGE was given")
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
        with self._new_cloud().token(self._registry) as (token, _):
            self._login = token.username, token.password
        return f"of {called(self._registry)}, usable for {(token.dead_at - time.time()) / 60:.0f} min"

    def _log_in(self) -> str:
        if not self._host:
            raise SkippedError("no IMAGE was given, and the settings name no host")
        path = self._image.partition("/")[2]
        reference = path.partition("@")[2] or path.rpartition("/")[2].partition(":")[2] or "latest"
        return log_in(
            self._new_cloud().transport(STEP_SECONDS),
            self._host,
            username=self._login[0],
            password=self._login[1],
            repository=as_kubelet_sees(self._image).partition("/")[2],
            reference=reference,
        )

    # And the whole, from outside.

    def _run_plugin(self) -> str:
        kubelet, provider = self._our_provider()
        image = as_kubelet_sees(self._image) or f"{self._host}/any"
        request = {"kind": "CredentialProviderRequest", "apiVersion": provider.api_version, "image": image}
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
