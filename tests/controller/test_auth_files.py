"""Container auth files, judged by the code of those who read them: the kubelet's, docker's, and containers/image's.

A Go program (tests/cluster/assets/authfiles) answers for thousands of random files what each reader finds for an image.
"""

import json
import random
import re
import subprocess
from base64 import b64encode

import pytest
from acr_credential_provider.exec.docker_credential_helper import registry_at
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.openshift import docker_config, pull_secrets
from acr_credential_provider.openshift.auth_paths import path_of
from acr_credential_provider.sources.basic_auth import BasicAuth
from cluster import parts

FILES = 2000
TYPES = {"kubernetes.io/dockerconfigjson": False, "kubernetes.io/dockercfg": True}
HOSTS = (
    "quay.io",
    "acr.example.com",
    "acr.example.com:5000",
    "docker.io",
    "index.docker.io",
    "QUAY.io",
    "[fd00::1]:443",
)
PATHS = (
    "",
    "/",
    "/team",
    "/team/",
    "/team/app",
    "/tea",
    "/team-b",
    "//",
    "/v1",
    "/v1/",
    "/v2/",
    "/v1/team",
    "/v2/team/",
)
ODD_KEYS = (
    " quay.io",
    "quay.io ",
    "me@quay.io",
    "quay.io?x",
    "quay.io#x",
    "quay.io/te%61m",
    "",
    "/",
    "quay.io:x",
    "ftp://quay.io",
)
IMAGES = tuple(  # without Docker Hub's, for which a kubelet takes an entry if no other is there: its own test
    f"{host}/{path}"
    for host in (*HOSTS, "one.example.com", "registry-1.docker.io")
    if host not in ("docker.io", "index.docker.io")
    for path in ("team/app", "team-b/app", "team", "tea/app", "other/app", "v1/team/app", "library/busybox")
)


def judged(questions):
    program = parts.AUTH_FILES.built / "authfiles"
    if not program.exists():
        pytest.skip(f"{program} is not built: run `make e2e-assets`")
    lines = "\n".join(map(json.dumps, questions))
    ran = subprocess.run([program], input=lines, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(answers) == len(questions)
    return answers


def question(document, kind="kubernetes.io/dockerconfigjson", images=IMAGES, readers=("kubelet",), server=""):
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    file = b64encode(content).decode()
    return {"file": file, "type": kind, "images": images, "readers": readers, "server": server}


class RandomFiles:
    """Files as clients, scripts and people write them, and as they spoil them."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def key(self, *, is_odd):
        if is_odd and self.random.random() < 0.1:
            return self.random.choice(ODD_KEYS)
        scheme = self.random.choice(("", "", "", "https://", "http://"))
        return scheme + self.random.choice((*HOSTS, "*.example.com")) + self.random.choice(PATHS)

    def login(self):
        username = self.random.choice(("me", "you", "cr_temp_user", "me@123", "名", "", "a:b"))
        return username, self.random.choice(("s3cret", "p:w", "x" * self.random.randrange(60, 70), "密码", ""))

    def auth(self, *, is_spoilt):
        text = b64encode(":".join(self.login()).encode()).decode()
        spell = self.random.randrange(5)
        if spell == 1:
            text = text.rstrip("=")
        elif spell == 2:
            text = "\n".join(text[start : start + 76] for start in range(0, len(text), 76)) + "\n"
        elif spell == 3:
            text = "\r\n".join(text[start : start + 20] for start in range(0, len(text), 20))
        if not is_spoilt:
            return text
        place = self.random.randrange(len(text) + 1)
        return (
            text[:place] + self.random.choice(("=", " ", "*", "_", "A", "")) + text[place + self.random.randrange(2) :]
        )

    def entry(self, *, is_spoilt):
        username, password = self.login()
        name = self.random.choice
        forms = [
            lambda: {"auth": self.auth(is_spoilt=is_spoilt)},
            lambda: {"auth": self.auth(is_spoilt=False), "email": "me@example.com"},
            lambda: {"username": username, "password": password},
            lambda: {"username": username, "password": password, "auth": self.auth(is_spoilt=is_spoilt)},
            lambda: {name(("Auth", "AUTH")): self.auth(is_spoilt=False)},
            lambda: {"username": username, "password": password, "auth": ""},
        ]
        if is_spoilt:
            forms += [
                lambda: name((None, {}, [], 7, "text", {"auth": 7}, {"username": [], "password": "x"}, {"auth": None}))
            ]
        return self.random.choice(forms)()

    def entries(self, *, is_spoilt):
        count = self.random.randrange(1, 5)
        return {self.key(is_odd=is_spoilt): self.entry(is_spoilt=is_spoilt) for _ in range(count)}


def ours(entries, kind):
    document = entries if TYPES[kind] else {"auths": entries}
    return docker_config.parse(json.dumps(document), source="it", is_dockercfg=TYPES[kind])


def usable(logins):
    """Return *logins* by image without those that no runtime or registry takes.

    That is: no user, no password, a colon in the user, or what is not UTF-8 (and here no longer what it was).
    """
    found = {
        image: {tuple(login) for login in each if all(login) and ":" not in login[0] and "\ufffd" not in "".join(login)}
        for image, each in (logins or {}).items()
    }
    return {image: each for image, each in found.items() if each}


@pytest.mark.parametrize("kind", TYPES)
def test_what_we_make_of_a_file_gives_kubelets_the_logins_of_that_file(kind):
    files = RandomFiles(seed=f"kubelet {kind}")
    checked = []
    for _ in range(FILES):
        entries = files.entries(is_spoilt=True)
        parsed = ours(entries, kind)
        # What we refuse, a kubelet refuses as a whole, or it has two logins; without it, the file must read as ours.
        rest = {key: entry for key, entry in entries.items() if path_of(key) not in parsed.refused}
        kept, _ = parsed.only(lambda path, refused=parsed.refused: path not in refused)
        left_out = [key for key in rest if path_of(key) is None]
        rest = {key: entry for key, entry in rest.items() if key not in left_out}
        checked.append((entries, parsed, rest, left_out, docker_config.encode(docker_config.merged([kept]))))
    wrap = (lambda entries: entries) if TYPES[kind] else (lambda entries: {"auths": entries})
    asked = [question(wrap(rest), kind) for _, _, rest, _, _ in checked]
    theirs = judged(asked)
    written = judged([question(content) for *_, content in checked])
    compared = 0
    for (entries, _, rest, _, content), their, our in zip(checked, theirs, written, strict=True):
        assert "refused" not in their["verdicts"]["kubelet"], (entries, rest)
        assert "refused" not in our["verdicts"]["kubelet"], content
        assert usable(our["verdicts"]["kubelet"].get("logins")) == usable(their["verdicts"]["kubelet"].get("logins")), (
            entries,
            content,
        )
        compared += len(usable(our["verdicts"]["kubelet"].get("logins")))
    assert compared > FILES


@pytest.mark.parametrize(
    "key", ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "https://docker.io/v2/"]
)
@pytest.mark.parametrize("image", ["docker.io/library/busybox", "busybox", "index.docker.io/team/app"])
def test_a_login_of_docker_hub_is_found_under_each_of_its_names(key, image):
    entries = {key: {"auth": "bWU6c2VjcmV0"}}
    written = docker_config.encode(docker_config.merged([ours(entries, "kubernetes.io/dockerconfigjson")]))
    before, after = judged([question({"auths": entries}, images=[image]), question(written, images=[image])])
    assert after["verdicts"]["kubelet"] == before["verdicts"]["kubelet"]


def test_what_costs_a_kubelet_the_file_is_refused_and_nothing_else_is():
    files = RandomFiles(seed="refusals")
    entries = [{"acr.example.com": files.entry(is_spoilt=True)} for _ in range(FILES)]
    answers = judged([question({"auths": each}) for each in entries])
    refusals = 0
    for each, answer in zip(entries, answers, strict=True):
        parsed = ours(each, "kubernetes.io/dockerconfigjson")
        is_utf8 = "UTF-8" not in "".join(parsed.refused.values())
        assert ("refused" in answer["verdicts"]["kubelet"]) == bool(parsed.refused) or not is_utf8, (
            each,
            parsed.refused,
        )
        refusals += bool(parsed.refused)
    assert FILES / 20 < refusals < FILES * 19 / 20


@pytest.mark.parametrize("reader", ["docker", "podman"])
def test_docker_and_podman_find_for_a_host_the_login_that_we_find(reader):
    """One entry a file, so that each has one answer; what a reader cannot read at all, ours may read as kubelets do."""
    files = RandomFiles(seed=reader)
    hosts = ("quay.io", "acr.example.com", "acr.example.com:5000")
    plain = re.compile(r"(https?://)?(quay\.io|acr\.example\.com(:5000)?)(/v[12]/|/)?")
    entries = []
    while len(entries) < FILES:
        key = files.key(is_odd=False)
        # Each reader drops paths of URLs in its own way; a host is a host to all of them.
        if plain.fullmatch(key) and (reader == "docker" or "://" in key or "/" not in key):
            entries.append({key: files.entry(is_spoilt=True)})
    images = [f"{host}/team/app" for host in hosts]
    answers = judged([question({"auths": each}, images=images, readers=[reader]) for each in entries])
    compared = 0
    for each, answer in zip(entries, answers, strict=True):
        (key,) = each
        if "refused" in answer["verdicts"][reader]:
            continue
        parsed = ours(each, "kubernetes.io/dockerconfigjson")
        mine = {  # docker and podman cut NUL bytes off, which no password has
            f"{path}/team/app": {(login.username, login.password.strip("\0"))} for path, login in parsed.logins.items()
        }
        found = usable(answer["verdicts"][reader].get("logins"))
        mine = {image: found for image, found in mine.items() if all(map(all, found))}
        if reader == "podman" and not any((each[key] or {}).get(name) for name in ("auth", "Auth", "AUTH")):
            mine = {}  # containers/image takes no login in parts
        assert found == mine, (each, answer["verdicts"][reader], mine)
        compared += found != {}
    assert compared > FILES / 8


def test_a_merge_into_a_pull_secret_gives_kubelets_the_new_login_alone_and_the_others_as_before():
    files = RandomFiles(seed="merge")
    checked = []
    for _ in range(FILES // 2):
        entries = files.entries(is_spoilt=False)
        path = path_of(files.key(is_odd=False))
        merged = pull_secrets.merge(
            json.dumps({"auths": entries}).encode(), {path: BasicAuth("new", "new")}, source="it"
        )
        others = {key: entry for key, entry in entries.items() if key not in merged.changed}
        checked.append((entries, path, others, merged.content))
    before = judged([question({"auths": others}) for _, _, others, _ in checked])
    alone = judged(
        [question({"auths": {path: docker_config.entry(BasicAuth("new", "new"))}}) for _, path, _, _ in checked]
    )
    after = judged([question(content) for *_, content in checked])
    for (entries, path, _, content), old, new, both in zip(checked, before, alone, after, strict=True):
        for image in IMAGES:
            expected = usable(old["verdicts"]["kubelet"].get("logins")).get(image, set())
            expected |= usable(new["verdicts"]["kubelet"].get("logins")).get(image, set())
            found = usable(both["verdicts"]["kubelet"].get("logins")).get(image, set())
            assert expected <= found | {("new", "new")}, (entries, path, content, image)
            assert found <= expected | {("new", "new")}, (entries, path, content, image)


def test_the_docker_credential_helper_makes_the_host_of_a_server_that_docker_makes_of_it():
    files = RandomFiles(seed="servers")
    servers = [files.key(is_odd=False).lower() for _ in range(FILES)]
    for server, answer in zip(
        servers, judged([question({}, readers=[], server=server) for server in servers]), strict=True
    ):
        assert registry_at(server) == answer["host"], server


def test_no_login_of_ours_is_one_that_readers_take_for_another():
    files = RandomFiles(seed="writing")
    logins = [files.login() for _ in range(FILES // 4)]
    written = []
    for username, password in logins:
        try:
            written.append(docker_config.encode({"quay.io": BasicAuth(username, password)}))
        except ConfigurationError:
            assert ":" in username
            written.append(b"{}")
    readers = ("kubelet", "docker", "podman")
    answers = judged([question(content, images=["quay.io/team/app"], readers=readers) for content in written])
    for login, content, answer in zip(logins, written, answers, strict=True):
        for reader in readers:
            found = usable(answer["verdicts"][reader].get("logins")).get("quay.io/team/app", set())
            assert found == ({login} if content != b"{}" and all(login) else set()), (login, reader)
