"""CredentialProviderConfigs, good and bad, and which kubelets start with them.

One table for two tests: our own rules are held against it, and so is the code of several kubelets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

PROGRAMS = ("a", "b", "aliyun-acr-credential-provider", "aliyun-acr-credential-provider-token")
"""The executables in the bin dir of all cases."""
V1 = "credentialprovider.kubelet.k8s.io/v1"
ALL, NONE, SINCE_1_34 = (1, 0), (9, 0), (1, 34)
TOKENS = {
    "serviceAccountTokenAudience": "sts.aliyuncs.com",
    "cacheType": "ServiceAccount",
    "requireServiceAccount": True,
    "optionalServiceAccountAnnotationKeys": ["pod-identity.alibabacloud.com/role-name"],
}


@dataclass(frozen=True)
class Case:
    """Files at the place that the flag names (one, or a folder of them), and the first kubelet that starts with them.

    *is_stricter*: a kubelet takes it, and we do not, because we could not change it faithfully
    or because the next kubelet may not.
    """

    name: str
    files: dict[str, bytes]
    since: tuple[int, int] = ALL
    is_directory: bool = False
    is_stricter: bool = False

    def starts(self, version: tuple[int, int]) -> bool:
        return version >= self.since


def provider(name: str = "a", /, **changes: Any) -> dict[str, Any]:
    basis = {"name": name, "matchImages": ["*.example.com"], "defaultCacheDuration": "0s", "apiVersion": V1}
    return {key: value for key, value in {**basis, **changes}.items() if value is not ...}


def config(*providers: Any, version: str = "v1", **changes: Any) -> dict[str, Any]:
    basis = {
        "apiVersion": f"kubelet.config.k8s.io/{version}",
        "kind": "CredentialProviderConfig",
        "providers": list(providers),
    }
    return {key: value for key, value in {**basis, **changes}.items() if value is not ...}


def tokens(**changes: Any) -> dict[str, Any]:
    return provider(tokenAttributes={key: value for key, value in {**TOKENS, **changes}.items() if value is not ...})


def _one(
    name: str, content: Any, since: tuple[int, int] = ALL, *, is_stricter: bool = False, file: str = "config.yaml"
) -> Case:
    data = content.encode() if isinstance(content, str) else content
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Case(name, {file: data}, since, is_stricter=is_stricter)


def _folder(name: str, files: dict[str, Any], since: tuple[int, int] = SINCE_1_34) -> Case:
    written = {
        key: each.encode() if isinstance(each, str) else json.dumps(each).encode() for key, each in files.items()
    }
    return Case(name, written, since, is_directory=True)


YAML = """apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: a
  matchImages: ["*.example.com"]
  defaultCacheDuration: 0s
  apiVersion: credentialprovider.kubelet.k8s.io/v1
"""


def _durations() -> list[Case]:
    good = ("0", "0s", "1h30m", "-0s", "+5m", "1.5h", ".5s", "5.s", "12h0m0s", "1000000ns", "7µs", "2562047h")
    bad = ("", "1d", "5", "-1s", "1h 30m", "s", "0x1s", "3000000h", "1e3s", "\u0661s")
    return [_one(f"duration {each}", config(provider(defaultCacheDuration=each))) for each in good] + [
        _one(f"no duration {each!r}", config(provider(defaultCacheDuration=each)), NONE) for each in bad
    ]


def _patterns() -> list[Case]:
    good = (
        "*.*.cr.aliyuncs.com",
        "host:5000",
        "host:",
        "host/path/*",
        "host/%41",
        "host?x=%zz",
        "*",
        "",
        "host#part",
        'a"b',
    )
    bad = ("host:port", "ho st", "host/%zz", "host%41", "ho\tst", "host\x7f", "{host}", "a|b", "a\\b", "a^b")
    odd = ("us-[a-z].example.com", "user@host", "a:b:5000", "::1", "[x]:5000")
    return (
        [_one(f"pattern {each}", config(provider(matchImages=[each]))) for each in good]
        + [_one(f"no pattern {each!r}", config(provider(matchImages=[each])), NONE) for each in bad]
        + [_one(f"odd pattern {each}", config(provider(matchImages=[each])), NONE, is_stricter=True) for each in odd]
    )


def _names() -> list[Case]:
    bad = ("", ".", "..", "../a", "a/b", "a b", "none-such")
    return [_one(f"no name {each!r}", config(provider(each)), NONE) for each in bad]


def _yaml_words() -> list[Case]:
    """Words that Go's YAML takes for something other than a string, or not."""
    no_strings = ("yes", "y", "123", "1e3", "0o17", "0x1f", "1_000", ".5", "+.inf", "true", "~x: y", "[a]")
    strings = ('"yes"', "'123'", "2001-01-01", "1:30", "0s", "1.2.3", "yess", "!!str yes", "null", "~", "|-\n      x")
    return [
        _one(f"as an argument, no string: {word}", YAML + f"  args:\n    - {word}\n", NONE) for word in no_strings
    ] + [
        _one(
            f"as an argument, a string: {word!r}",
            YAML + f"  args:\n    - {word}\n",
            is_stricter=word.startswith("!!"),
        )
        for word in strings
    ]


CASES: list[Case] = [
    _one("plain, as JSON", config(provider()), file="config.json"),
    _one("plain, as YAML", YAML),
    _one("JSON in a file that is called otherwise", config(provider()), file="credential-providers.conf"),
    _one("JSON after blank lines", b"\n\n " + json.dumps(config(provider())).encode()),
    _one("YAML with a start of document, comments and CRLF", "---\r\n# ours\r\n" + YAML.replace("\n", "\r\n")),
    _one("YAML in one line", "{apiVersion: kubelet.config.k8s.io/v1}", NONE),
    _one("two providers", config(provider(), provider("b"))),
    _one("args and env", config(provider(args=["--x"], env=[{"name": "A", "value": "b"}]))),
    _one("args and env of null", config(provider(args=None, env=None, tokenAttributes=None))),
    _one("a list with null for a string", config(provider(args=[None], env=[None]))),
    *(_one(f"config {version}", config(provider(), version=version)) for version in ("v1beta1", "v1alpha1")),
    *(
        _one(f"provider {version}", config(provider(apiVersion=f"credentialprovider.kubelet.k8s.io/{version}")))
        for version in ("v1beta1", "v1alpha1")
    ),
    _one("empty", "", NONE),
    _one("a list", "[]", NONE),
    _one("no YAML", "a: [", NONE),
    _one("no JSON", '{"a": ', NONE),
    _one("JSON with a comma too many", json.dumps(config(provider()))[:-1] + ",}", NONE),
    _one("JSON with text behind it", json.dumps(config(provider())) + "x", NONE),
    _one("not UTF-8", YAML.encode() + b"  args: ['\xff']\n", NONE),
    _one("two documents", YAML + "---\n" + YAML, NONE, is_stricter=True),
    _one("another kind", config(provider(), kind="KubeletConfiguration"), NONE),
    _one("no kind", config(provider(), kind=...), NONE),
    _one("another group", config(provider(), apiVersion="kubelet.k8s.io/v1"), NONE),
    _one("an unknown version", config(provider(), version="v2"), NONE),
    _one("no version", config(provider(), apiVersion=...), NONE),
    _one("a field too many", config(provider(), extra=1), NONE),
    _one("metadata", config(provider(), metadata={"name": "x"}), NONE),
    _one("no providers", config(providers=...), NONE),
    _one("an empty list of providers", config(), NONE),
    _one("providers as a mapping", config(providers={"a": 1}), NONE),
    _one("a provider that is a word", config("a"), NONE),
    _one("a field in another case", config(provider(matchimages=["x"])), NONE),
    _one("a field too many in a provider", config(provider(cacheKeyType="Registry")), NONE),
    _one("a field too many in env", config(provider(env=[{"name": "A", "value": "b", "x": 1}])), NONE),
    _one("a name that is a number", config(provider(1)), NONE),
    _one("no name", config(provider(name=...)), NONE),
    _one("a name twice", config(provider(), provider()), NONE),
    _one("a key twice in YAML", YAML + "  defaultCacheDuration: 1s\n", NONE),
    _one("a key twice in JSON", '{"kind": "a",' + json.dumps(config(provider()))[1:], NONE),
    _one("no apiVersion of the provider", config(provider(apiVersion=...)), NONE),
    _one("an apiVersion of nobody", config(provider(apiVersion="v1")), NONE),
    _one("no patterns", config(provider(matchImages=[])), NONE),
    _one("patterns missing", config(provider(matchImages=...)), NONE),
    _one("patterns as a word", config(provider(matchImages="*.example.com")), NONE),
    _one("a pattern that is a number", config(provider(matchImages=[1])), NONE),
    _one("no duration", config(provider(defaultCacheDuration=...)), NONE),
    _one("a duration of null", config(provider(defaultCacheDuration=None)), NONE),
    _one("a duration that is a number", config(provider(defaultCacheDuration=0)), NONE),
    _one("args as a word", config(provider(args="--x")), NONE),
    _one("env as a mapping", config(provider(env={"A": "b"})), NONE),
    _one("env with a number", config(provider(env=[{"name": "A", "value": 1}])), NONE),
    *_names(),
    *_durations(),
    *_patterns(),
    *_yaml_words(),
    _one("tokens", config(tokens()), SINCE_1_34),
    _one("tokens, no ServiceAccount required", config(tokens(requireServiceAccount=False)), SINCE_1_34),
    _one("tokens per token", config(tokens(cacheType="Token")), SINCE_1_34),
    _one("tokens as 1.33 had them", config(tokens(cacheType=...)), NONE),
    _one("tokens with another cache", config(tokens(cacheType="Pod")), NONE),
    _one("tokens of no audience", config(tokens(serviceAccountTokenAudience="")), NONE),
    _one("tokens without audience", config(tokens(serviceAccountTokenAudience=...)), NONE),
    _one("tokens without requirement", config(tokens(requireServiceAccount=...)), NONE),
    _one("tokens with a requirement in words", config(tokens(requireServiceAccount="true")), NONE),
    _one("tokens with a field too many", config(tokens(audience="x")), NONE),
    _one("tokens in config v1beta1", config(tokens(), version="v1beta1"), NONE),
    _one("tokens that are empty", config(provider(tokenAttributes={})), NONE),
    _one(
        "tokens for apiVersion v1beta1",
        config({**tokens(), "apiVersion": "credentialprovider.kubelet.k8s.io/v1beta1"}),
        NONE,
    ),
    _one("tokens with a required key", config(tokens(requiredServiceAccountAnnotationKeys=["x/Y"])), SINCE_1_34),
    _one(
        "tokens with a required key and no requirement",
        config(tokens(requiredServiceAccountAnnotationKeys=["x/y"], requireServiceAccount=False)),
        NONE,
    ),
    _one("tokens with a key twice", config(tokens(optionalServiceAccountAnnotationKeys=["x", "x"])), NONE),
    _one(
        "tokens with a key in both lists",
        config(tokens(optionalServiceAccountAnnotationKeys=["x"], requiredServiceAccountAnnotationKeys=["x"])),
        NONE,
    ),
    *(
        _one(f"tokens with the key {key!r}", config(tokens(optionalServiceAccountAnnotationKeys=[key])), NONE)
        for key in ("", "/x", "a/b/c", "-x", "x_", "a..b/c", "x" * 64, "a" * 254 + "/x")
    ),
    *(
        _one(f"tokens with a good key {key!r}", config(tokens(optionalServiceAccountAnnotationKeys=[key])), SINCE_1_34)
        for key in ("x", "X_y.z", "Example.COM/Role")
    ),
    _folder("a folder of one", {"a.yaml": YAML}),
    _folder("a folder of all suffixes", {"1.json": config(provider()), "2.yml": config(provider("b"))}),
    _folder("a folder with other files", {"a.yaml": YAML, "a.yaml.bak": "x", ".a.tmp": "x", "README": "x"}),
    _folder("a hidden file is read too", {"a.yaml": YAML, ".b.yaml": "x"}, NONE),
    _folder("an empty folder", {"a.txt": YAML}, NONE),
    _folder("a name twice in a folder", {"a.yaml": YAML, "b.yaml": YAML}, NONE),
    _folder("one bad file in a folder", {"a.yaml": YAML, "b.json": "x"}, NONE),
]
