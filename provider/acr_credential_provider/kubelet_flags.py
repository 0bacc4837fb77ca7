"""What the running kubelet was told about credential providers: its flags, its config, its rules of matching.

Read from /proc and from the files it names. The rules are those of k8s.io/kubernetes
pkg/credentialprovider at 1.36.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from .errors import ConfigurationError
from .hit import API_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONFIG_FLAG, BIN_DIR_FLAG = "image-credential-provider-config", "image-credential-provider-bin-dir"
RANCHER = "/var/lib/rancher/credentialprovider"
"""Where k3s and RKE2 look when nobody tells them otherwise."""
RANCHER_KUBECONFIG = "/var/lib/rancher/k3s/agent/kubelet.kubeconfig"
"""Of the kubelet that is part of k3s; RKE2's is a process of its own, with flags."""
CONFIG_VERSIONS = tuple(f"kubelet.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
LARGEST = 1 << 20

_FIELDS = {"name", "matchImages", "defaultCacheDuration", "apiVersion", "args", "env", "tokenAttributes"}
_TOKEN_FIELDS = {
    "serviceAccountTokenAudience",
    "cacheType",
    "requireServiceAccount",
    "requiredServiceAccountAnnotationKeys",
    "optionalServiceAccountAnnotationKeys",
}
_GO_DURATION = re.compile(r"[+-]?(?:0|(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+")
_RESTART = "then restart the kubelet: it reads this once, at its start."


@dataclass(frozen=True, slots=True)
class Kubelet:
    """The kubelet as a process. *environ* may hold secrets of others; *kubeconfig* is how it reaches the API server."""

    pid: int
    config: str
    bin_dir: str
    environ: Mapping[str, str] = field(repr=False)
    started: float | None = None  # seconds since the epoch
    arguments: tuple[str, ...] = field(default=(), repr=False)
    """Its command line, the program's name first."""
    unit: str = ""
    """The systemd service that its cgroup is of, "" for none."""
    kubeconfig: str = ""


@dataclass(frozen=True, slots=True)
class TokenAttributes:
    """Which tokens of pods' ServiceAccounts a provider is given, and which of their annotations (KEP-4412).

    With *is_required*, pods without a ServiceAccount (static ones) are not asked for at all;
    nor are those whose ServiceAccount lacks one of the *required* annotations.
    """

    audience: str
    is_required: bool
    required: tuple[str, ...]
    optional: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provider:
    """One entry of a CredentialProviderConfig; *file* is where it is written."""

    name: str
    api_version: str
    match_images: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    token: TokenAttributes | None
    file: str


def find_kubelet(proc: str = "/proc") -> Kubelet | None:
    """Return the node's kubelet, None when none can be seen; raise `ConfigurationError` for several.

    A pod may call its process kubelet, so only a child of PID 1 (or of k3s or RKE2, or of a process
    outside, where the node is a container) that is in no pod's cgroup counts.
    """
    found = list(_kubelets(proc, ("kubelet", "hyperkube"))) or list(_kubelets(proc, ("k3s", "rke2")))
    if len(found) > 1:
        pids = ", ".join(str(each.pid) for each in found)
        raise ConfigurationError(
            f"more than one kubelet runs here (PIDs {pids})", remedy="Stop those that are not this node's."
        )
    return found[0] if found else None


def flag(words: Sequence[str], name: str) -> str:
    """Return the value of a flag, "" without it. The last one holds, as in the kubelet.

    >>> flag(["kubelet", "--a=1", "--b", "2", "--a=3"], "a"), flag(["kubelet", "--b", "2"], "b")
    ('3', '2')
    """
    value = ""
    for at, word in enumerate(words):
        if word.startswith((f"--{name}=", f"-{name}=")):
            value = word.partition("=")[2]
        elif word in (f"--{name}", f"-{name}"):
            value = words[at + 1] if at + 1 < len(words) else ""
    return value


def _kubelets(proc: str, names: tuple[str, ...]) -> Iterator[Kubelet]:
    for entry in sorted(filter(str.isdigit, _listed(proc)), key=int):
        words = _words(f"{proc}/{entry}")
        if _program(words) not in names or "kubepods" in _read(f"{proc}/{entry}/cgroup"):
            continue
        if words[0].endswith("hyperkube") and words[1:2] != ["kubelet"]:
            continue
        parent = _parent(f"{proc}/{entry}")
        if parent not in ("0", "1") and _program(_words(f"{proc}/{parent}")) not in ("k3s", "rke2"):
            continue
        config, bin_dir, kubeconfig = (flag(words, name) for name in (CONFIG_FLAG, BIN_DIR_FLAG, "kubeconfig"))
        is_rancher = names[0] == "k3s"
        if is_rancher and not (config or bin_dir) and os.path.isdir(f"{RANCHER}/bin"):
            config, bin_dir = f"{RANCHER}/config.yaml", f"{RANCHER}/bin"
        if is_rancher and not kubeconfig and os.path.exists(RANCHER_KUBECONFIG):
            kubeconfig = RANCHER_KUBECONFIG
        lines = _read(f"{proc}/{entry}/environ").split("\0")
        environ = dict(line.split("=", 1) for line in lines if "=" in line)
        yield Kubelet(
            int(entry),
            config,
            bin_dir,
            environ,
            started=_started(proc, entry),
            arguments=tuple(words),
            unit=_service(_read(f"{proc}/{entry}/cgroup")),
            kubeconfig=kubeconfig,
        )


def _service(cgroups: str) -> str:
    r"""Return the service that the text of /proc/PID/cgroup names, "" for none.

    >>> _service("12:pids:/system.slice/kubelet.service\n0::/system.slice/kubelet.service/sub\n"), _service("0::/\n")
    ('kubelet.service', '')
    """
    found = re.findall(r"/([A-Za-z0-9_.:\\@-]+\.service)(?:/|$)", cgroups, re.MULTILINE)
    return str(found[-1]) if found else ""


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST).decode("utf-8", "surrogateescape")
    except OSError:  # it has ended meanwhile, or is not ours to see
        return ""


def _words(folder: str) -> list[str]:
    return _read(f"{folder}/cmdline").removesuffix("\0").split("\0")


def _program(words: list[str]) -> str:
    """Return the program's name; k3s writes its whole command line over its first word."""
    return os.path.basename(words[0].split(" ")[0])


def _parent(folder: str) -> str:
    found = re.search(r"^PPid:\s*(\d+)", _read(f"{folder}/status"), re.MULTILINE)
    return found[1] if found else ""


def _started(proc: str, entry: str) -> float | None:
    boot = re.search(r"^btime (\d+)", _read(f"{proc}/stat"), re.MULTILINE)
    fields = _read(f"{proc}/{entry}/stat").rpartition(")")[2].split()
    if not boot or len(fields) < 20 or not fields[19].isdigit():
        return None
    return int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def read_providers(path: str) -> list[Provider]:
    """Return the entries of the CredentialProviderConfig at *path*, a file or a folder of them.

    Raises `ConfigurationError` for what the kubelet refuses (it then does not start) and for
    files that others than root can change.
    """
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        raise ConfigurationError(
            f"the kubelet's CredentialProviderConfig {path} is not there", remedy=f"Write it, {_RESTART}"
        ) from None
    files = [path]
    if is_folder:
        names = sorted(name for name in _listed(path) if name.endswith((".json", ".yaml", ".yml")))
        files = [f"{path.rstrip('/')}/{name}" for name in names]
        if not files:
            raise ConfigurationError(
                f"the folder {path} has no *.json, *.yaml or *.yml", remedy=f"Write one there, {_RESTART}"
            )
    providers = [provider for file in files for provider in _providers(file)]
    names = [each.name for each in providers]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise ConfigurationError(
            f"{path} has more than one provider {repeated}", remedy=f"Leave one of them, {_RESTART}"
        )
    return providers


def _providers(file: str) -> Iterator[Provider]:
    _check_owner(file)
    try:
        document = yaml.load(_read(file), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise _refused(file, "is not a YAML or JSON mapping")
    if document.get("kind") != "CredentialProviderConfig" or document.get("apiVersion") not in CONFIG_VERSIONS:
        raise _refused(file, f"is not kind CredentialProviderConfig of {CONFIG_VERSIONS[0]}")
    if set(document) - {"kind", "apiVersion", "providers"}:
        raise _refused(file, "has a field that the kubelet does not know")
    listed = document.get("providers")
    if not isinstance(listed, list) or not listed:
        raise _refused(file, "lists no providers")
    for index, each in enumerate(listed):
        yield _provider(each, file, f"providers[{index}]")


def _provider(each: Any, file: str, where: str) -> Provider:
    if not isinstance(each, dict) or set(each) - _FIELDS:
        raise _refused(file, f"{where} has a field that the kubelet does not know")
    name, patterns, duration = each.get("name"), each.get("matchImages"), each.get("defaultCacheDuration")
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or " " in name:
        raise _refused(file, f"{where}.name is not the name of a file")
    if each.get("apiVersion") not in API_VERSIONS:
        raise _refused(file, f"{where}.apiVersion is not {API_VERSIONS[0]}")
    if not _is_texts(patterns) or not patterns:
        raise _refused(file, f"{where}.matchImages lists no patterns")
    if not isinstance(duration, str) or not _GO_DURATION.fullmatch(duration):
        raise _refused(file, f"{where}.defaultCacheDuration is not a duration such as 0s")
    args, env = each.get("args") or [], each.get("env") or []
    if not _is_texts(args):
        raise _refused(file, f"{where}.args is not a list of strings")
    try:
        variables = {str(item["name"]): str(item["value"]) for item in env}
    except (TypeError, KeyError):
        raise _refused(file, f"{where}.env is not a list of name and value") from None
    token = _token_attributes(each, file, where)
    return Provider(name, each["apiVersion"], tuple(patterns), tuple(args), variables, token, file)


def _token_attributes(provider: dict[str, Any], file: str, where: str) -> TokenAttributes | None:
    found = provider.get("tokenAttributes")
    if found is None:
        return None
    where = f"{where}.tokenAttributes"
    if not isinstance(found, dict) or set(found) - _TOKEN_FIELDS:
        raise _refused(file, f"{where} has a field that the kubelet does not know")
    if provider["apiVersion"] != API_VERSIONS[0]:
        raise _refused(file, f"{where} goes with apiVersion {API_VERSIONS[0]} only")
    audience, is_required = found.get("serviceAccountTokenAudience"), found.get("requireServiceAccount")
    if not isinstance(audience, str) or not audience:
        raise _refused(file, f"{where}.serviceAccountTokenAudience is missing")
    if not isinstance(is_required, bool):
        raise _refused(file, f"{where}.requireServiceAccount is neither true nor false")
    # The field came with 1.34, and a kubelet 1.33 knows none: which of the two this is cannot be seen here.
    if found.get("cacheType", "ServiceAccount") not in ("ServiceAccount", "Token"):
        raise _refused(file, f"{where}.cacheType is neither ServiceAccount nor Token")
    required = found.get("requiredServiceAccountAnnotationKeys") or []
    optional = found.get("optionalServiceAccountAnnotationKeys") or []
    if not (_is_texts(required) and _is_texts(optional)):
        raise _refused(file, f"{where} has annotation keys that are not a list of strings")
    if len({*required, *optional}) < len(required) + len(optional):
        raise _refused(file, f"{where} has an annotation key twice")
    if required and not is_required:
        raise _refused(file, f"{where} requires annotations, but no ServiceAccount")
    return TokenAttributes(audience, is_required, tuple(required), tuple(optional))


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _refused(file: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{file} {what}, so the kubelet would not start with it", remedy=f"Correct {file}, {_RESTART}"
    )


def _check_owner(file: str) -> None:
    try:
        seen = os.stat(file)
    except OSError:
        raise ConfigurationError(f"{file} cannot be read", remedy=f"Write it, {_RESTART}") from None
    if seen.st_uid not in (0, os.geteuid()) or seen.st_mode & 0o022:
        raise ConfigurationError(
            f"{file} can be changed by others than root, who could have the kubelet run anything",
            remedy=f"Run: chown root:root {file}; chmod go-w {file}",
        )


def as_kubelet_sees(image: str) -> str:
    """Return *image* without tag and digest, as the kubelet matches it and hands it to plugins.

    >>> as_kubelet_sees("acr.example.com:5000/team/app:1.2@sha256:abc")
    'acr.example.com:5000/team/app'
    """
    host, slash, path = image.partition("@")[0].partition("/")
    return host + slash + re.sub(r":[^:/]*$", "", path)


def mismatch(pattern: str, image: str) -> str:
    """Return why the kubelet does not match *image* by *pattern*, "" when it does.

    >>> mismatch("*.*.cr.aliyuncs.com", "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app")
    ''
    >>> mismatch("*.cr.aliyuncs.com", "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app")
    'it has 4 labels and the host has 5: one "*" is one label'
    """
    try:
        ours, theirs = urlsplit(f"https://{pattern}"), urlsplit(f"https://{image}")
        ports = ours.port, theirs.port
    except ValueError:
        return "it is not HOST[:PORT][/PATH]"
    globs, labels = ours.netloc.partition(":")[0].split("."), theirs.netloc.partition(":")[0].split(".")
    if ports[0] != ports[1]:
        return f"its port is {ports[0] or 'not given'} and the image's is {ports[1] or 'not given'}"
    if len(globs) != len(labels):
        return f'it has {len(globs)} labels and the host has {len(labels)}: one "*" is one label'
    for glob, label in zip(globs, labels, strict=True):
        if not fnmatchcase(label, glob):
            return f"its label {glob} does not match {label}"
    if not theirs.path.startswith(ours.path):
        return 'a "*" in its path is taken literally' if "*" in ours.path else f"the image is not below {ours.path}"
    return ""


def closest(patterns: Sequence[str], image: str) -> tuple[str, str]:
    """Return the pattern that comes nearest to *image*, and why it does not match ("" when it does)."""
    reasons = [(pattern, mismatch(pattern, image)) for pattern in patterns]
    order = ('a "*" in', "the image is", "its port", "its label", "it has", "it is")
    return min(reasons, key=lambda each: next((n + 1 for n, start in enumerate(order) if each[1].startswith(start)), 0))
