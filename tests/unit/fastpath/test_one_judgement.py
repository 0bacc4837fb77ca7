"""A request is judged alike with and without a cached answer: what is an error cold is never a login warm."""

import base64
import json
import time
from copy import deepcopy

import pytest
from acr_credential_provider.fastpath.lookup import LARGEST_REQUEST, MOST_BRACKETS, lookup
from acr_credential_provider.fastpath.response_cache import TOKEN, CacheEntry, ResponseCache, uptime
from acr_credential_provider.model.errors import CredentialProviderError
from acr_credential_provider.model.protocol import CredentialProviderRequest
from acr_credential_provider.model.question import Question
from hypothesis import example, given
from hypothesis import strategies as st

HOST = "demo-registry.cn-hangzhou.cr.aliyuncs.com"
SHARED = "registry.cn-hangzhou.aliyuncs.com"
ROLE = "pod-identity.alibabacloud.com/role-name"


def token(**changes: object) -> str:
    account = {"namespace": "team", "serviceaccount": {"name": "puller", "uid": "u-1"}}
    claims = {"iss": "https://issuer", "aud": ["sts.aliyuncs.com"], "kubernetes.io": account, **changes}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


def request(image: object = f"{HOST}/team/app", **more: object) -> dict[str, object]:
    version = "credentialprovider.kubelet.k8s.io/v1"
    return {"kind": "CredentialProviderRequest", "apiVersion": version, "image": image, **more}


def raw(document: object) -> bytes:
    return json.dumps(document).encode()


VALID = (
    request(),
    request(f"{SHARED}/team/app"),
    request(serviceAccountToken=token()),
    request(serviceAccountToken=token(), serviceAccountAnnotations={ROLE: "reader"}),
)
"""The cache has an answer to each of these."""


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The paths of a cache that has an answer to each valid request."""
    folder = tmp_path_factory.mktemp("warm")
    (folder / "cache/memo").mkdir(parents=True, mode=0o700)
    paths = {"--settings": str(folder / "settings.yaml"), "--cache": str(folder / "cache")}
    now = time.time()
    for document in VALID:
        question = Question(CredentialProviderRequest.decode(raw(document)), paths["--settings"])
        entry = CacheEntry(
            key=question.key,
            kind=TOKEN,
            scope=question.scope,
            written=now,
            uptime=uptime(),
            refresh_at=now + 10_000.0,
            expires_at=now + 20_000.0,
            max_cache_duration=300.0,
            fingerprints=(),
            answer=json.dumps({question.scope: {"username": "u", "password": "p"}}),
        )
        ResponseCache(paths["--cache"] + "/memo").put(entry)
    return paths


def judged(data: bytes, paths: dict[str, str]) -> tuple[str, str]:
    """Return the cold judgement of *data* and the warm one: a cache key or "refused", and "hit" or "no hit"."""
    try:
        cold = Question(CredentialProviderRequest.decode(data), paths["--settings"]).key
    except CredentialProviderError:
        cold = "refused"
    return cold, "no hit" if lookup(data, paths) is None else "hit"


def is_one_judgement(data: bytes, paths: dict[str, str]) -> bool:
    """True unless the request is refused cold and answered warm."""
    cold, warm = judged(data, paths)
    return warm == "no hit" or cold != "refused"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("kind", "apiVersion", "image", "serviceAccountToken", "serviceAccountAnnotations", "more")


@st.composite
def nearly_valid(draw: st.DrawFn) -> bytes:
    """A valid request with some fields replaced, removed, repeated, and odd bytes around it."""
    document = deepcopy(draw(st.sampled_from(VALID)))
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        if draw(st.booleans()):
            document.pop(name, None)
        else:
            document[name] = draw(JSON | st.sampled_from(["", [], {}, 0, False, None, {ROLE: 1}, {ROLE: None}]))
    image = document.get("image")
    if isinstance(image, str):
        tail = draw(st.sampled_from(["", "/", ":1", "@sha256:a", "//", "\x00", " ", "/:", "/@"]) | st.text(max_size=4))
        document["image"] = draw(st.sampled_from([image, HOST, SHARED, f"{SHARED}/team", image.upper()])) + tail
    data = raw(document)
    if draw(st.booleans()):
        again = draw(st.sampled_from(FIELDS))
        data = data[:-1] + b"," + raw({again: draw(JSON)})[1:]
    ends = st.sampled_from([b"", b"\n", b" ", b"\xff", b"\xef\xbb\xbf", b"{}", b"\x00"])
    return draw(ends) + data + draw(ends)


@given(nearly_valid())
@example(raw(request(HOST)))
@example(raw(request(HOST + "/")))
@example(raw(request(HOST + "/:1")))
@example(raw(request(serviceAccountAnnotations=[])))
@example(raw(request(serviceAccountAnnotations={ROLE: 1})))
@example(raw(request(serviceAccountToken=0)))
@example(raw(request(serviceAccountToken=token(), serviceAccountAnnotations={ROLE: "reader", "more": [1]})))
def test_what_is_refused_cold_is_no_hit_warm(options: dict[str, str], data: bytes) -> None:
    """Whatever the request: the same function judges it on both paths."""
    assert is_one_judgement(data, options)


@given(st.sampled_from(VALID), st.booleans(), st.text("\n\t ", max_size=4))
def test_what_is_valid_is_a_hit(
    options: dict[str, str], document: dict[str, object], is_sorted: bool, end: str
) -> None:
    """The judgement is no refusal of everything."""
    data = json.dumps(document, sort_keys=is_sorted).encode() + end.encode()
    assert judged(data, options)[1] == "hit"


WRONG = {
    "no repository": raw(request(HOST)),
    "an empty repository": raw(request(HOST + "/")),
    "a digest alone": raw(request(HOST + "/@sha256:aa")),
    "an image that is a list": raw(request([f"{HOST}/team/app"])),
    "annotations that are a list": raw(request(serviceAccountAnnotations=[])),
    "annotations that are a text": raw(request(serviceAccountAnnotations="")),
    "an annotation that is a number": raw(request(serviceAccountAnnotations={"x": 1})),
    "a token that is a number": raw(request(serviceAccountToken=0)),
    "a token that is false": raw(request(serviceAccountToken=False)),
    "another apiVersion": raw(request() | {"apiVersion": "credentialprovider.kubelet.k8s.io/v2"}),
    "another kind": raw(request() | {"kind": "CredentialProviderResponse"}),
    "a wrong kind last": raw(request())[:-1] + b',"kind":"x"}',
    "more than one document": raw(request()) * 2,
    "bytes that are no text": raw(request())[:-1] + b',"x":"\xff"}',
    "claims that are nested deep": raw(request(serviceAccountToken=token(more=json.loads("[" * 200 + "]" * 200)))),
    "white space beyond the limit": raw(request()) + b" " * LARGEST_REQUEST,
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_request_is_refused_on_both_paths(options: dict[str, str], kind: str) -> None:
    """One of each kind, with the answer to its valid form in the cache."""
    assert judged(WRONG[kind], options) == ("refused", "no hit")


@pytest.mark.parametrize("depth", [MOST_BRACKETS + 1, 900, 990, 1000, 5000, 100_000])
def test_how_deep_a_document_may_be_does_not_depend_on_the_cache(options: dict[str, str], depth: int) -> None:
    """Python's limit depends on the stack, which is deeper on the slow path."""
    data = raw(request())[:-1] + b',"more":' + b"[" * depth + b"]" * depth + b"}"
    assert judged(data, options)[1] == "no hit"
