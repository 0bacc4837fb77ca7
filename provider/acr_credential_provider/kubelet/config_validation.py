"""What keeps a kubelet of a version from starting with a CredentialProviderConfig: found before it is written.

One mistake in it stops the node. Rules: k8s.io/kubernetes pkg/credentialprovider/plugin/config.go at 1.24 to 1.36, what
it calls of Go's library, and the default feature gates. Kubelets before 1.32 ignore fields that they do not know; here
such a field counts as a problem, because a newer kubelet does not start with it. The tests run the same
files through kubelets' own code.

cacheType: a kubelet 1.33 behind its feature gate does not know the field, and one from 1.34 on requires it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.fastpath.lookup import API_VERSIONS
from acr_credential_provider.fastpath.plain_text import key_name
from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.remedy import Remedy

from .go_syntax import is_duration, is_qualified_name, why_no_url
from .go_yaml import ParseError, Text, read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

CONFIG_VERSIONS = tuple(f"kubelet.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
SUFFIXES = (".json", ".yaml", ".yml")
"""The names that a kubelet reads in a folder."""
FIRST_WITH_V1, FIRST_THAT_IS_STRICT, FIRST_WITH_TOKENS, FIRST_WITH_FOLDERS = (1, 26), (1, 32), (1, 34), (1, 34)
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
_CORRECT = Remedy("KubeletConfigInvalid", "Correct it.")
_ANNOTATIONS = ("requiredServiceAccountAnnotationKeys", "optionalServiceAccountAnnotationKeys")
_TOKEN = {
    "serviceAccountTokenAudience": str,
    "cacheType": str,
    "requireServiceAccount": bool,
    **dict.fromkeys(_ANNOTATIONS, list),
}
_WORDS = {str: "a string", list: "a list", bool: "true or false", dict: "a mapping"}


@dataclass(frozen=True, slots=True)
class KubeletRules:
    """All that differs between kubelets; *shown* is the version, for the words of a problem."""

    shown: str
    has_v1: bool = True
    has_folders: bool = True
    has_tokens: bool = True
    requires_cache_type: bool = True
    is_strict: bool = True
    """Whether it does not start with a field that it does not know."""

    @classmethod
    def of(cls, version: tuple[int, int] | None) -> KubeletRules:
        """Return the rules of *version*; for None what kubelets of all supported versions take."""
        if version is None:
            return cls("of an unknown version", has_tokens=False)
        return cls(
            f"{version[0]}.{version[1]}",
            version >= FIRST_WITH_V1,
            version >= FIRST_WITH_FOLDERS,
            version >= FIRST_WITH_TOKENS,
            is_strict=version >= FIRST_THAT_IS_STRICT,
        )


ANY_KUBELET = KubeletRules("of any version", requires_cache_type=False)
"""For a kubelet that runs: what some version takes."""


def problems(
    files: Mapping[str, bytes],
    version: tuple[int, int] | None,
    *,
    is_directory: bool,
    executables: Collection[str],
) -> list[ConfigProblem]:
    """Return what a kubelet of *version* would not start with; for an unknown version, what any one would not.

    *files* are those at the place that its flag names: the one file, or all of the folder (names that it does not read
    are ignored). *executables* are the names in its bin dir that can be run.
    """
    return check(files, KubeletRules.of(version), is_directory=is_directory, executables=executables)


def check(
    files: Mapping[str, bytes], rules: KubeletRules, *, is_directory: bool, executables: Collection[str] | None = None
) -> list[ConfigProblem]:
    """Return what a kubelet of *rules* would not start with. Without *executables*, programs are not looked for."""
    if is_directory:
        files = {name: files[name] for name in sorted(files) if name.endswith(SUFFIXES)}
    found: list[ConfigProblem] = []
    first = next(iter(files), "")
    if is_directory and not rules.has_folders:
        found.append(
            ConfigProblem(
                1,
                "",
                "is in a folder, which kubelets read from 1.34 on",
                Remedy("KubeletConfigInvalid", "Name a file."),
                first,
            )
        )
    if not files:
        found.append(
            ConfigProblem(1, "", "there is no configuration", Remedy("KubeletConfigInvalid", "Write one."), first)
        )
    names: Counter[str] = Counter()
    for path, data in files.items():
        try:
            text = read(data)
        except ParseError as error:
            found.append(
                ConfigProblem(error.line, "", error.problem, Remedy("KubeletConfigInvalid", "Correct the file."), path)
            )
            continue
        checker = _FileChecker(path, text, rules, found)
        for at, provider in enumerate(checker.check()):
            name = provider.get("name")
            if not isinstance(name, str):
                continue
            names[name] += 1
            if names[name] == 2:
                checker.add(f"is the name {name} of a provider before it", "providers", at, "name")
            if executables is not None and name not in executables:
                checker.add(f"names no program in the folder of credential providers: {name}", "providers", at, "name")
    return found


class _FileChecker:
    """Adds the problems of one file to *found*."""

    def __init__(self, path: str, text: Text, rules: KubeletRules, found: list[ConfigProblem]) -> None:
        self._path = path
        self._text = text
        self._rules = rules
        self._found = found

    def add(self, problem: str, *steps: str | int, remedy: Remedy = _CORRECT) -> None:
        names = (f"[{step}]" if isinstance(step, int) else f".{key_name(step)}" for step in steps)
        field = "".join(names).removeprefix(".")
        self._found.append(ConfigProblem(self._text.line(steps), field, problem, remedy, self._path))

    def check(self) -> list[dict[str, Any]]:
        """Check the whole file; return its providers, {} for what is none."""
        document = self._text.value
        if not isinstance(document, dict):
            self.add("is no mapping")
            return []
        if document.get("kind") != "CredentialProviderConfig":
            self.add("is not CredentialProviderConfig", "kind")
        version = document.get("apiVersion")
        self._check_version(version, CONFIG_VERSIONS, "apiVersion")
        self._check_unknown(document, {"kind", "apiVersion", "providers"})
        providers = document.get("providers")
        if not isinstance(providers, list) or not providers:
            self.add("lists none" if providers in (None, []) else "is no list", "providers")
            return []
        for at, provider in enumerate(providers):
            if isinstance(provider, dict):
                self._check_provider(provider, at, knows_tokens=version == CONFIG_VERSIONS[0])
            else:
                self.add("is no mapping", "providers", at)
        return [provider if isinstance(provider, dict) else {} for provider in providers]

    def _check_version(self, version: object, known: tuple[str, ...], *steps: str | int) -> None:
        if version not in known:
            self.add(f"is not {known[0]}", *steps)
        elif version == known[0] and not self._rules.has_v1:
            self.add(f"came with Kubernetes 1.26, and this kubelet is {self._rules.shown}", *steps)

    def _check_provider(self, provider: dict[str, Any], at: int, *, knows_tokens: bool) -> None:
        here: tuple[str | int, ...] = ("providers", at)
        self._check_unknown(provider, {*_PROVIDER, *(("tokenAttributes",) if knows_tokens else ())}, *here)
        mistyped = self._check_types(provider, _PROVIDER, *here)
        if "name" not in mistyped and not is_program(provider.get("name")):
            self.add("is not the name of a program", *here, "name")
        self._check_version(provider.get("apiVersion"), API_VERSIONS, *here, "apiVersion")
        if "matchImages" not in mistyped:
            self._check_patterns(provider, *here)
        if "defaultCacheDuration" not in mistyped and not is_duration(provider.get("defaultCacheDuration") or ""):
            self.add("is not a duration such as 0s", *here, "defaultCacheDuration")
        if "args" not in mistyped:
            list(self._strings(provider, "args", *here))
        for index, variable in enumerate((provider.get("env") or []) if "env" not in mistyped else ()):
            if isinstance(variable, dict):
                self._check_unknown(variable, {"name", "value"}, *here, "env", index)
                self._check_types(variable, {"name": str, "value": str}, *here, "env", index)
            elif variable is not None:
                self.add("is no mapping", *here, "env", index)
        tokens = provider.get("tokenAttributes")
        if knows_tokens and tokens is not None:
            self._check_tokens(tokens, provider, *here, "tokenAttributes")

    def _check_patterns(self, provider: dict[str, Any], *here: str | int) -> None:
        if not provider.get("matchImages"):
            self.add("lists no patterns", *here, "matchImages")
        for index, pattern in self._strings(provider, "matchImages", *here):
            if reason := why_no_url(pattern):
                self.add(f"is no pattern of an image: {reason}", *here, "matchImages", index)

    def _check_tokens(self, tokens: object, provider: dict[str, Any], *here: str | int) -> None:
        if not self._rules.has_tokens:
            remedy = Remedy(
                "KubeletConfigInvalid", "Leave tokenAttributes out; before 1.34 a kubelet does not start with them."
            )
            self.add(f"came with Kubernetes 1.34, and this kubelet is {self._rules.shown}", *here, remedy=remedy)
            return
        if not isinstance(tokens, dict):
            self.add("is no mapping", *here)
            return
        self._check_unknown(tokens, set(_TOKEN), *here)
        mistyped = self._check_types(tokens, _TOKEN, *here)
        if provider.get("apiVersion") != API_VERSIONS[0]:
            self.add(f"goes with apiVersion {API_VERSIONS[0]} only", *here)
        if not tokens.get("serviceAccountTokenAudience"):
            self.add("is missing", *here, "serviceAccountTokenAudience")
        if tokens.get("requireServiceAccount") is None:
            self.add("is missing", *here, "requireServiceAccount")
        cache_types = (
            ("ServiceAccount", "Token") if self._rules.requires_cache_type else ("ServiceAccount", "Token", None)
        )
        if tokens.get("cacheType") not in cache_types:
            self.add("is neither ServiceAccount nor Token", *here, "cacheType")
        lists = [name for name in _ANNOTATIONS if name not in mistyped]
        keys = {name: [text for _, text in self._strings(tokens, name, *here)] for name in lists}
        self._check_annotations(keys, *here, is_optional=tokens.get("requireServiceAccount") is False)

    def _check_annotations(self, keys: dict[str, list[str]], *here: str | int, is_optional: bool) -> None:
        required, optional = (keys.get(name, []) for name in _ANNOTATIONS)
        if required and is_optional:
            self.add("needs requireServiceAccount: true", *here, _ANNOTATIONS[0])
        for name, listed in keys.items():
            if len(set(listed)) < len(listed):
                self.add("has a key twice", *here, name)
            if not all(map(is_qualified_name, listed)):
                self.add("has a key that is not the name of an annotation", *here, name)
        if set(required) & set(optional):
            self.add("has a key that is both required and optional", *here)

    def _check_unknown(self, mapping: dict[str, Any], known: set[str], *here: str | int) -> None:
        for name in mapping:
            if name in known:
                continue
            which = "this kubelet does not know" if self._rules.is_strict else "kubelets from 1.32 on do not start with"
            remedy = Remedy("KubeletConfigInvalid", "Take it out.")
            if name == "tokenAttributes":
                remedy = Remedy(
                    "KubeletConfigInvalid",
                    f"Write apiVersion: {CONFIG_VERSIONS[0]} at the top of the file: only that one has it.",
                )
            self.add(f"is a field that {which}", *here, name, remedy=remedy)

    def _check_types(self, mapping: dict[str, Any], types: Mapping[str, type], *here: str | int) -> set[str]:
        """Return the fields of *mapping* that have another type than they should."""
        wrong = {name for name, kind in types.items() if not isinstance(mapping.get(name), (kind, type(None)))}
        for name in sorted(wrong):
            self.add(f"is not {_WORDS[types[name]]}", *here, name)
        return wrong

    def _strings(self, mapping: dict[str, Any], name: str, *here: str | int) -> Iterator[tuple[int, str]]:
        """Yield the strings of a list; Go reads null as an empty one."""
        for index, item in enumerate(mapping.get(name) or []):
            if item is None or isinstance(item, str):
                yield index, item or ""
            else:
                self.add("is not a string", *here, name, index)


def is_program(name: object) -> bool:
    """True if a provider may have this name.

    >>> is_program("ecr-credential-provider"), is_program("../sh"), is_program("..")
    (True, False, False)
    """
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & {"/", " ", "\0"}
