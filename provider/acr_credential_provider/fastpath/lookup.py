"""The fast path: a kubelet's request answered from the response cache on this node's disk.

Most pulls end here, so this file loads nothing that is not built into the interpreter. It leaves the unusual (other
arguments, an odd request, no cache entry, one that needs a refresh) to the rest of the program.
"""

import posix
from binascii import a2b_base64

from acr_credential_provider.version import LOG_VARIABLE, VERSION

from .cpython import hexdigest, parse_json
from .response_cache import CacheEntry, ResponseCache, monotonic_now_for

SETTINGS = "/etc/aliyun-acr-credential-provider/settings.yaml"
CACHE = "/var/cache/aliyun-acr-credential-provider"
API_GROUP = "credentialprovider.kubelet.k8s.io/"
API_VERSIONS = (API_GROUP + "v1", API_GROUP + "v1beta1", API_GROUP + "v1alpha1")
LARGEST_REQUEST = 1 << 20  # bytes; a real one has at most a few thousand
MOST_BRACKETS = 100
"""Opening ones in a request that is answered here, or in a token's claims; real ones have a few.

How deep a document may be nested depends on the stack of the moment. Far below that limit, both paths read the same.
"""
OPTIONS = ("--settings", "--cache")
TRACE = "locks/called-by-kubelet"
"""The file in the cache folder that the kubelet's first call leaves; its time is that of the call."""
KUBELETS = (b"kubelet", b"kubelite", b"hyperkube", b"k3s", b"rke2")
"""How the names of processes begin that are a kubelet, or have one in them."""
ROLE_ANNOTATION = "pod-identity.alibabacloud.com/role-name"
"""The one annotation of a ServiceAccount that an answer depends on."""


def exec_options(arguments: list[str], *, here: str = "") -> dict[str, str] | None:
    """Return the options of the exec protocol, or None if *arguments* are for another command.

    Relative paths start at *here*, by default the working directory, which is the kubelet's own when it runs us.

    >>> exec_options(["get-credentials", "--settings", "/etc/acr.yaml"])["--settings"]
    '/etc/acr.yaml'
    >>> exec_options(["--cache=var/cache/acr"], here="/")["--cache"]
    '/var/cache/acr'
    >>> exec_options(["--help"])
    """
    options = {"--settings": SETTINGS, "--cache": CACHE}
    is_named = False
    words = iter(arguments)
    for word in words:
        if word == "get-credentials" and not is_named:
            is_named = True
            continue
        name, equals, value = word.partition("=")
        if name not in OPTIONS:
            return None
        if not equals:
            value = next(words, "")
        try:
            options[name] = absolute(value, here=here)
        except (OSError, ValueError):
            return None  # the rest of the program reports it
    return options


def absolute(path: str, *, here: str = "") -> str:
    """Return *path* as an absolute one; a relative one starts at *here*, by default the working directory.

    Raises ``ValueError`` for text that is no path or may mean another thing (``-``, ``~``), ``OSError`` if the
    working directory is gone.

    >>> absolute("./settings.yaml", here="/srv")
    '/srv/settings.yaml'
    """
    if path[:1] == "/":
        return path
    if path[:1] in ("", "-", "~"):
        raise ValueError
    while path[:2] == "./":
        path = path[2:].lstrip("/")
    return (here or posix.getcwd()).rstrip("/") + "/" + path


def read_request(file: int = 0) -> bytes:
    """Return all of stdin, but no more than one byte beyond `LARGEST_REQUEST`."""
    data = b""
    while len(data) <= LARGEST_REQUEST:
        piece = posix.read(file, LARGEST_REQUEST + 1 - len(data))
        if not piece:
            break
        data += piece
    return data


def account_of(request: dict[str, object]) -> tuple[str, dict[str, str]]:
    """Return the request's ServiceAccount token, "" without one, and its annotations.

    Raises ``TypeError`` if they are no string and no mapping of strings.
    """
    token, annotations = request.get("serviceAccountToken"), request.get("serviceAccountAnnotations")
    token = "" if token is None else token
    annotations = {} if annotations is None else annotations
    if not isinstance(token, str) or not isinstance(annotations, dict):
        raise TypeError
    for value in annotations.values():
        if not isinstance(value, str):
            raise TypeError
    return token, annotations


def token_subject(token: str, annotations: dict[str, str]) -> str:
    """Return the subject that the claims of a ServiceAccount *token* name, "" without a token.

    It only chooses a cache entry: STS decides whether the token is good. Raises ``ValueError``, ``LookupError`` or
    ``TypeError`` for a token that cannot be read.
    """
    if not token:
        return ""
    payload = token.split(".")[1].encode()
    padded = payload.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(payload) % 4)
    text = a2b_base64(padded).decode()
    if text.count("{") + text.count("[") > MOST_BRACKETS:
        raise ValueError("not the claims of a token")
    claims: dict[str, object] = parse_json(text)  # type: ignore[assignment]
    kubernetes: dict[str, dict[str, str]] = claims["kubernetes.io"]  # type: ignore[assignment]
    account = kubernetes["serviceaccount"]
    role = annotations.get(ROLE_ANNOTATION)
    return repr((kubernetes["namespace"], account["name"], account["uid"], claims["iss"], claims["aud"], role))


def cache_scope(image: str) -> str:
    """Return the scope of one answer: the host of *image*, or HOST/NAMESPACE where accounts share a host.

    On the Personal Edition's shared hosts a login is good for some namespaces only, and would spoil the pull of
    public images in others. (Some hosts that only look like those are split too, which costs them one more cache
    entry. The full rule is `acr_hosts.SharedHost`.)

    >>> cache_scope("demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app")
    'demo-registry.cn-hangzhou.cr.aliyuncs.com'
    >>> cache_scope("registry.cn-hangzhou.aliyuncs.com/acs/pause")
    'registry.cn-hangzhou.aliyuncs.com/acs'
    """
    host, _, path = image.partition("/")
    if host.startswith("registry") and host.endswith(".aliyuncs.com"):
        namespace, slash, _ = path.partition("/")
        return f"{host}/{namespace}" if slash else host
    return host


def repository_of(image: str) -> str:
    """Return what is behind the host of *image*, without tag and digest; without it *image* names nothing to pull.

    >>> repository_of("acr.example.com/team/app:1.2@sha256:abc"), repository_of("acr.example.com/")
    ('team/app', '')
    """
    return image.partition("/")[2].partition("@")[0].partition(":")[0]


def cache_key(settings: str, scope: str, subject: str) -> str:
    """Return the digest that names the answer for *scope* and *subject*, given by the *settings* at that path."""
    return hexdigest(f"{VERSION}\n{settings}\n{scope}\n{subject}")


def lookup(raw: bytes, options: dict[str, str]) -> tuple[bytes, CacheEntry] | None:
    """Return the response to the request in *raw*, and its cache entry; None if the slow path has to serve it."""
    try:
        return _lookup(raw, options)
    except Exception:  # noqa: BLE001 - the slow path reports it
        return None


def _lookup(raw: bytes, options: dict[str, str]) -> tuple[bytes, CacheEntry] | None:
    """Answer only what the slow path would answer too, which judges by the same functions (`model.protocol`).

    A host that is not well-formed has no cache entry.
    """
    if len(raw) > LARGEST_REQUEST or raw.count(b"{") + raw.count(b"[") > MOST_BRACKETS:
        return None
    request: dict[str, object] = parse_json(raw.decode())  # type: ignore[assignment]
    api_version: str = request["apiVersion"]  # type: ignore[assignment]
    image: str = request["image"]  # type: ignore[assignment]
    if request["kind"] != "CredentialProviderRequest" or api_version not in API_VERSIONS:
        return None
    token, annotations = account_of(request)
    if not repository_of(image):
        return None
    key = cache_key(options["--settings"], cache_scope(image), token_subject(token, annotations))
    cache = ResponseCache(options["--cache"] + "/memo")
    entry = cache.get(key, is_used=True)
    if entry is None:
        return None
    now = monotonic_now_for(entry)
    if now >= entry.refresh_at:
        return None
    return entry.response(api_version, now=now), entry


def leave_trace(cache: str) -> None:
    """Leave a trace in the folder *cache* if the kubelet called; all calls but the first cost one stat.

    The kubelet runs this program itself, so it is the parent process. Our own commands, an agent and a shell are not.
    """
    path = f"{cache}/{TRACE}"
    try:
        posix.stat(path)
    except OSError:
        pass
    else:
        return
    try:
        file = posix.open(f"/proc/{posix.getppid()}/comm", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            is_kubelet = posix.read(file, 64).startswith(KUBELETS)
        finally:
            posix.close(file)
        if is_kubelet:
            from acr_credential_provider.changes.folder import opened  # noqa: PLC0415 - for the first call alone

            above, _, name = path.rpartition("/")
            with opened(above) as folder:
                posix.close(folder.lock_file(name))
    except OSError:  # no /proc, no cache folder, a full or read-only disk
        return


def log_hit(entry: CacheEntry, started: float) -> None:
    """Log that *entry* was the response, if hits are logged; *started* is on the monotonic clock."""
    if is_logged(entry.log):
        from .syslog import Log  # noqa: PLC0415 - only if something is logged

        Log(started=started).answered(host=entry.scope, kind=entry.kind, cache="hit", tag=entry.log)


def is_logged(tag: str) -> bool:
    """True if an answer with this *tag* may have to be logged; makes no system call.

    A cache entry brings its tag along, the settings' log level first; it is valid only while the settings file is
    unchanged, so the level is right. The environment may overrule it.
    """
    return bool(tag and not tag.startswith("off")) or LOG_VARIABLE in posix.environ


def write_all(data: bytes, file: int = 1) -> None:
    """Write *data* to *file*, in one piece wherever the system allows it."""
    while data:
        data = data[posix.write(file, data) :]
