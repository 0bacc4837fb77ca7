"""What keeps a kubelet from starting with a CredentialProviderConfig, version by version: found before it is written.

One mistake in it stops the node. Rules: k8s.io/kubernetes pkg/credentialprovider/plugin/config.go at
1.24 to 1.36, what it calls of Go's library, and the default feature gates. Kubelets up to 1.30 at
least leave unread what they do not know; here that counts for them too, since the next one
does not start with it. The tests run the same files through kubelets' own code.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.lookup import API_VERSIONS
from acr_credential_provider.kubelet.credential_provider_config import CONFIG_VERSIONS

from .go_syntax import is_duration, is_qualified_name, why_no_url
from .yaml_source import Text, UnreadableError, read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from acr_node_config.model.facts import Version

SUFFIXES = (".json", ".yaml", ".yml")
"""What a kubelet reads in a folder."""
FIRST_WITH_V1, FIRST_WITH_TOKENS, FIRST_WITH_FOLDERS = (1, 26), (1, 34), (1, 34)
OLDEST = (1, 24)
"""The first kubelet that has credential providers without a feature gate."""

_PROVIDER = {
    "name": str,
    "matchImages": list,
    "defaultCacheDuration": str,
    "apiVersion": str,
    "args": list,
    "env": list,
}
_TOKEN = {
    "serviceAccountTokenAudience": str,
    "cacheType": str,
    "requireServiceAccount": bool,
    "requiredServiceAccountAnnotationKeys": list,
    "optionalServiceAccountAnnotationKeys": list,
}
_ANNOTATIONS = ("requiredServiceAccountAnnotationKeys", "optionalServiceAccountAnnotationKeys")
_WORDS = {str: "a string", list: "a list", bool: "true or false", dict: "a mapping"}


@dataclass(frozen=True, slots=True)
class KubeletConfigProblem:
    """One thing that would keep the kubelet from starting: where, what, and what to do.

    >>> print(KubeletConfigProblem("/etc/p.yaml", 3, "providers[0].name", "has a space", "Correct it."))
    /etc/p.yaml, line 3: providers[0].name has a space
    """

    file: str
    line: int
    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.file}, line {self.line}: {self.field + ' ' if self.field else ''}{self.problem}"


def problems(
    files: Mapping[str, bytes], version: Version | None, *, is_directory: bool, executables: Collection[str]
) -> list[KubeletConfigProblem]:
    """Return what a kubelet of *version* would not start with.

    *files* are those at the place that its flag names: the one file, or all of the folder
    (names that it does not read are ignored). *executables* are the names in its bin dir that
    can be run. Of an unknown version only what all versions take passes.
    """
    if is_directory:
        files = {name: files[name] for name in sorted(files) if name.endswith(SUFFIXES)}
    found: list[KubeletConfigProblem] = []
    where = next(iter(files), "")
    if is_directory and version is not None and version < FIRST_WITH_FOLDERS:
        found.append(
            KubeletConfigProblem(where, 1, "", "is in a folder, which kubelets read from 1.34 on", "Name a file.")
        )
    if not files:
        found.append(KubeletConfigProblem(where, 1, "", "there is no configuration", "Write one."))
    names: Counter[str] = Counter()
    for name, data in files.items():
        try:
            text = read(data)
        except UnreadableError as error:
            found.append(KubeletConfigProblem(name, error.line, "", error.what, "Correct the file."))
            continue
        judge = _Judge(name, text, version or (1, 0), found)
        judge.document()
        for at, provider in enumerate(judge.providers):
            own = provider.get("name")
            if not isinstance(own, str):
                continue
            names[own] += 1
            if names[own] == 2:
                judge.say(f"is the name {own} of a provider before it", "providers", at, "name")
            if own not in executables:
                judge.say(f"names no program in the folder of credential providers: {own}", "providers", at, "name")
    return found


class _Judge:
    """Finds the problems of one file."""

    def __init__(self, file: str, text: Text, version: Version, found: list[KubeletConfigProblem]) -> None:
        self._file = file
        self._text = text
        self._version = version
        self._found = found
        self.providers: list[dict[str, Any]] = []

    def say(self, what: str, *steps: str | int, remedy: str = "Correct it.") -> None:
        field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
        self._found.append(KubeletConfigProblem(self._file, self._text.line(steps), field, what, remedy))

    def document(self) -> None:
        document = self._text.value
        if not isinstance(document, dict):
            self.say("is no mapping")
            return
        kind, version = document.get("kind"), document.get("apiVersion")
        if kind != "CredentialProviderConfig":
            self.say("is not CredentialProviderConfig", "kind")
        if version not in CONFIG_VERSIONS:
            self.say(f"is not {CONFIG_VERSIONS[0]}", "apiVersion")
        elif version == CONFIG_VERSIONS[0] and (1, 0) < self._version < FIRST_WITH_V1:
            self.say(f"came with Kubernetes 1.26, and this kubelet is {_shown(self._version)}", "apiVersion")
        self._unknown(document, {"kind", "apiVersion", "providers"})
        providers = document.get("providers")
        if not isinstance(providers, list) or not providers:
            self.say("lists none" if providers in (None, []) else "is no list", "providers")
            return
        for at, each in enumerate(providers):
            if isinstance(each, dict):
                self.providers.append(each)
                self._provider(each, at, has_tokens=version == CONFIG_VERSIONS[0])
            else:
                self.providers.append({})
                self.say("is no mapping", "providers", at)

    def _provider(self, provider: dict[str, Any], at: int, *, has_tokens: bool) -> None:
        here: tuple[str | int, ...] = ("providers", at)
        self._unknown(provider, {*_PROVIDER, *(("tokenAttributes",) if has_tokens else ())}, *here)
        sound = self._typed(provider, _PROVIDER, *here)
        if sound("name") and not is_program(provider.get("name")):
            self.say("is not the name of a program", *here, "name")
        self._api_version(provider.get("apiVersion"), *here)
        if sound("matchImages"):
            self._patterns(provider, *here)
        if sound("defaultCacheDuration") and not is_duration(provider.get("defaultCacheDuration") or ""):
            self.say("is not a duration such as 0s", *here, "defaultCacheDuration")
        if sound("args"):
            list(self._texts(provider, "args", *here))
        if sound("env"):
            self._environment(provider.get("env") or [], *here, "env")
        tokens = provider.get("tokenAttributes")
        if has_tokens and tokens is not None:
            self._tokens(tokens, provider, *here, "tokenAttributes")

    def _environment(self, variables: list[Any], *here: str | int) -> None:
        for index, item in enumerate(variables):
            if isinstance(item, dict):
                self._unknown(item, {"name", "value"}, *here, index)
                self._typed(item, {"name": str, "value": str}, *here, index)
            elif item is not None:
                self.say("is no mapping", *here, index)

    def _api_version(self, version: object, *here: str | int) -> None:
        if version not in API_VERSIONS:
            self.say(f"is not {API_VERSIONS[0]}", *here, "apiVersion")
        elif version == API_VERSIONS[0] and (1, 0) < self._version < FIRST_WITH_V1:
            self.say(f"came with Kubernetes 1.26, and this kubelet is {_shown(self._version)}", *here, "apiVersion")

    def _patterns(self, provider: dict[str, Any], *here: str | int) -> None:
        if not provider.get("matchImages"):
            self.say("lists no patterns", *here, "matchImages")
        for index, pattern in self._texts(provider, "matchImages", *here):
            why = why_no_url(pattern)
            if why:
                self.say(f"is no pattern of an image: {why}", *here, "matchImages", index)

    def _tokens(self, tokens: object, provider: dict[str, Any], *here: str | int) -> None:
        if self._version < FIRST_WITH_TOKENS:
            remedy = "Leave tokenAttributes out; before 1.34 a kubelet does not start with them."
            self.say(f"came with Kubernetes 1.34, and this kubelet is {_shown(self._version)}", *here, remedy=remedy)
            return
        if not isinstance(tokens, dict):
            self.say("is no mapping", *here)
            return
        self._unknown(tokens, set(_TOKEN), *here)
        sound = self._typed(tokens, _TOKEN, *here)
        if provider.get("apiVersion") != API_VERSIONS[0]:
            self.say(f"goes with apiVersion {API_VERSIONS[0]} only", *here)
        if not tokens.get("serviceAccountTokenAudience"):
            self.say("is missing", *here, "serviceAccountTokenAudience")
        if tokens.get("requireServiceAccount") is None:
            self.say("is missing", *here, "requireServiceAccount")
        if tokens.get("cacheType") not in ("ServiceAccount", "Token"):
            self.say("is neither ServiceAccount nor Token", *here, "cacheType")
        lists = [name for name in _ANNOTATIONS if sound(name)]
        keys = {name: [text for _, text in self._texts(tokens, name, *here)] for name in lists}
        self._annotations(keys, *here, is_optional=tokens.get("requireServiceAccount") is False)

    def _annotations(self, keys: dict[str, list[str]], *here: str | int, is_optional: bool) -> None:
        required, optional = (keys.get(name, []) for name in _ANNOTATIONS)
        if required and is_optional:
            self.say("is for those who require a ServiceAccount", *here, _ANNOTATIONS[0])
        for name, each in keys.items():
            if len(set(each)) < len(each):
                self.say("has a key twice", *here, name)
            if not all(map(is_qualified_name, each)):
                self.say("has a key that is not the name of an annotation", *here, name)
        if set(required) & set(optional):
            self.say("has a key that is both required and optional", *here)

    def _unknown(self, mapping: dict[str, Any], known: set[str], *here: str | int) -> None:
        for name in mapping:
            if name not in known:
                self.say("is a field that this kubelet does not know", *here, name)

    def _typed(self, mapping: dict[str, Any], types: Mapping[str, type], *here: str | int) -> _Sound:
        wrong = {name for name, kind in types.items() if not isinstance(mapping.get(name), (kind, type(None)))}
        for name in sorted(wrong):
            self.say(f"is not {_WORDS[types[name]]}", *here, name)
        return _Sound(wrong)

    def _texts(self, mapping: dict[str, Any], name: str, *here: str | int) -> Iterator[tuple[int, str]]:
        """Yield the strings of a list; Go reads null as an empty one."""
        for index, each in enumerate(mapping.get(name) or []):
            if each is None or isinstance(each, str):
                yield index, each or ""
            else:
                self.say("is not a string", *here, name, index)


class _Sound:
    """Says which fields had the right type."""

    def __init__(self, wrong: set[str]) -> None:
        self._wrong = wrong

    def __call__(self, name: str) -> bool:
        return name not in self._wrong


def is_program(name: object) -> bool:
    """Say whether a provider may have this name.

    >>> is_program("ecr-credential-provider"), is_program("../sh"), is_program("..")
    (True, False, False)
    """
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & {"/", " ", "\0"}


def _shown(version: Version) -> str:
    return "of an unknown version" if version == (1, 0) else f"{version[0]}.{version[1]}"
