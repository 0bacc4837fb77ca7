"""Whichever way settings are asked, and whatever is broken beside an entry, the same image gets the same answer."""

import json
import textwrap
from dataclasses import dataclass

import pytest
import yaml
from acr_credential_provider.cache.cache_folder import CacheFolder
from acr_credential_provider.commands.cli import main
from acr_credential_provider.console.checks import FAILED, NO_MATCH, OK, SKIPPED
from acr_credential_provider.exec.docker_credential_helper import WITHOUT_NAMESPACE
from acr_credential_provider.explain.checks import explain
from acr_credential_provider.kubelet.image_match import explain_mismatch
from acr_credential_provider.model.deadline import Deadline, Deadlines
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.image_reference import scope_of
from acr_credential_provider.model.progress import Progress
from acr_credential_provider.model.protocol import CredentialProviderRequest
from acr_credential_provider.model.question import Question
from acr_credential_provider.pull_secrets.config.configuration import parse
from acr_credential_provider.settings.match_images import match_images
from acr_credential_provider.settings.registry_matching import Hosts, match
from acr_credential_provider.settings.verdict import judge
from acr_credential_provider.tokens.acquire import acquire_response
from hypothesis import given, settings
from hypothesis import strategies as st

REGIONS = ("cn-hangzhou", "cn-beijing", "cn-shanghai-finance-1")
OWN = "cn-hangzhou"
NAMES = ("shop", "lab", "web")
CUSTOM = tuple(f"{name}.example.com" for name in NAMES)
NAMESPACES = ("team", "build", "google_containers", "acs")
IMAGES = (
    *(
        f"{name}-registry{vpc}.{region}.cr.aliyuncs.com/team/app"
        for name in NAMES
        for vpc in ("", "-vpc")
        for region in REGIONS
    ),
    *(
        f"registry{vpc}.{region}.aliyuncs.com/{space}/app"
        for vpc in ("", "-vpc")
        for region in REGIONS
        for space in NAMESPACES
    ),
    *(f"{host}/team/app" for host in CUSTOM),
    "stranger.example.org/team/app",
    "crpi-a1.cn-hangzhou.personal.cr.aliyuncs.com/team/app",
)
HEAD = "apiVersion: aliyun-acr-credential-provider/v1\nkind: ProviderSettings\n"


@dataclass(frozen=True)
class Entry:
    """One entry, whatever it is written in. *name* is the instance's, "" for the Personal Edition."""

    name: str
    region: str
    domains: tuple
    role: str
    namespaces: tuple = ()

    def native(self):
        fields = {"instanceId": f"cri-{self.name}"} if self.name else {}
        fields |= {"region": self.region} if self.region else {}
        fields |= {"domains": list(self.domains)} if self.domains else {}
        fields |= {"namespaces": list(self.namespaces)} if self.namespaces else {}
        fields["identity"] = {"kind": "nodeRole"}
        fields |= {"assumeRole": [{"roleArn": self.role}]} if self.role else {}
        return fields

    def of_config_map(self):
        fields = {"instanceId": f"cri-{self.name}" if self.name else ""}
        fields |= {"regionId": self.region} if self.region else {}
        fields |= {"domains": ",".join(self.domains)} if self.domains else {}
        fields |= {"assumeRoleARN": self.role} if self.role else {}
        return fields


@st.composite
def entry(draw, number):
    name = draw(st.sampled_from((NAMES[number], NAMES[number], "")))
    region = draw(st.sampled_from(("", *REGIONS)))
    role = draw(st.sampled_from(("", f"acs:ram::1234567890123456:role/of-{number}")))
    own = region or draw(st.sampled_from(REGIONS))
    hosts = (f"{name}-registry.{own}.cr.aliyuncs.com", f"{name}-registry-vpc.{own}.cr.aliyuncs.com", CUSTOM[number])
    hosts = hosts if name else (f"registry.{own}.aliyuncs.com", f"registry-vpc.{own}.aliyuncs.com")
    domains = tuple(draw(st.lists(st.sampled_from(hosts), unique=True, max_size=2)))
    return Entry(name, region, domains, role)


entries = st.tuples(*map(entry, range(3))).map(list)
BREAKS = (
    "  region: [\n",
    '  region: "cn\n',
    "\tregion: x\n",
    "  unknown: x\n",
    "  region: hangzhou\n",
    "  region: *x\n",
)
KEYS = ("maxCacheDuration: 600\n", "log: [\n", "loog: info\n", "pullSecrets: 5\n", 'note: "x\n')
MAP_BREAKS = ("  regionId: [\n", '  regionId: "cn\n', "  unknown: x\n", "  regionId: hangzhou\n", "  regionId: *x\n")
MAP_KEYS = ('notify-email: "x\n', "watch-namespace: [\n", "expiring-threshold: soon\n", "webhook-configuration: 7\n")


def block(fields):
    lines = yaml.safe_dump(fields, sort_keys=False, default_flow_style=None, width=1000).splitlines()
    return "".join(f"{'- ' if not number else '  '}{line}\n" for number, line in enumerate(lines))


def native_text(found, broken=None, how="", key=""):
    items = "".join(block(each.native()) + (how if number == broken else "") for number, each in enumerate(found))
    return HEAD + key + "registries:\n" + items


def config_map_text(found, broken=None, how="", key=""):
    items = "".join(
        block(each.of_config_map()) + (how if number == broken else "") for number, each in enumerate(found)
    )
    start = "kind: ConfigMap\ndata:\n" + (f"  {key}" if key else "")
    return f"{start}  acr-registry-info: |\n{textwrap.indent(items, '    ')}"


class Cloud:
    """A node in `OWN`. ACR lists both hosts of each instance in its region, and one of the customer's."""

    def region_of(self, registry):
        return registry.region or OWN

    def known(self, registry):
        return self.ask(registry, 1)

    def ask(self, registry, _remaining):
        name, region = registry.instance_id.removeprefix("cri-"), self.region_of(registry)
        hosts = [f"{name}-registry{vpc}.{region}.cr.aliyuncs.com" for vpc in ("", "-vpc")]
        return Hosts([*hosts, f"{name}.example.com"], 100.0)


def pull(found, image):
    """Return what a pull finds with the settings *found*: instance, region and role, None or "refused"."""
    if found is None:
        return "refused"
    try:
        registry = match(scope_of(image), found, Cloud(), path="/s", retry_after=1.0).registry
    except ConfigurationError:
        return "refused"
    return registry and (registry.instance_id, registry.region or OWN, registry.assume_role)


def as_pairs(found):
    return found and {(each.instance_id, each.region, each.domains, each.assume_role) for each in found.registries}


@given(entries, st.data())
def test_a_broken_part_changes_nothing_for_entries_that_it_does_not_concern(found, data):
    text_of, ways, keys = data.draw(
        st.sampled_from(((native_text, BREAKS, KEYS), (config_map_text, MAP_BREAKS, MAP_KEYS))), label="form"
    )
    whole = judge(text_of(found)).settings
    number = data.draw(st.integers(0, 2))
    broken = judge(text_of(found, number, data.draw(st.sampled_from(ways)))).settings
    with_key = judge(text_of(found, key=data.draw(st.sampled_from(keys)))).settings
    without = judge(text_of([each for index, each in enumerate(found) if index != number])).settings
    for image in IMAGES:
        assert pull(with_key, image) == pull(whole, image), image
        expected = pull(without, image)
        if whole is not None and without is not None and broken is not None and expected not in (None, "refused"):
            # Another entry's host: the same answer, unless the broken one may have it too.
            assert pull(broken, image) in (expected, "refused")
            if pull(whole, image) == expected and image.partition("/")[0] not in broken.quarantined_hosts:
                is_shared = image.startswith("registry")
                assert pull(broken, image) == expected or (is_shared and broken.personal_quarantined)
        if expected in (None, "refused") and broken is not None:
            assert pull(broken, image) in (None, "refused"), "no other entry answers for a broken one"


@given(entries, st.data())
@settings(max_examples=25)
def test_every_way_to_ask_gives_one_answer(tmp_path_factory, found, data):
    folder = tmp_path_factory.mktemp("ask")
    is_native = data.draw(st.booleans(), label="native")
    number = data.draw(st.sampled_from((None, 0, 1, 2)))
    text_of, ways = (native_text, BREAKS) if is_native else (config_map_text, MAP_BREAKS)
    text = text_of(found, number, data.draw(st.sampled_from(ways)) if number is not None else "")
    path = folder / "settings.yaml"
    path.write_text(text)
    path.chmod(0o600)
    verdict = judge(text)
    code = main(["settings", "validate", str(path)])
    assert code == (1 if verdict.problems else 0)
    in_controller = parse(text, role="nodeRole", keys_directory="/keys", origin=None)
    assert as_pairs(in_controller.settings) == as_pairs(verdict.settings)
    patterns = match_images(verdict.settings).node if verdict.settings else ()
    for image in IMAGES:
        answer = pull(verdict.settings, image)
        if answer is None or (answer == "refused" and verdict.settings is None):
            continue
        host = image.partition("/")[0]
        if answer != "refused" or host in verdict.settings.quarantined_hosts:
            known = any(host in each.domains for each in verdict.settings.registries)
            if known or host.endswith("aliyuncs.com"):
                assert any(not explain_mismatch(pattern, image) for pattern in patterns), image
        whole = pull(verdict.settings, host + WITHOUT_NAMESPACE)
        if (
            host.startswith("registry")
            and answer != "refused"
            and image.split("/")[1] not in ("google_containers", "acs")
        ):
            assert whole == answer, "the docker helper and the kubelet"
    image = data.draw(st.sampled_from(IMAGES))
    results = {each.name: each for each in explain(image, settings_path=str(path), cache=str(folder / "cache"))}
    entry_found, answer = results["registry entry"], pull(verdict.settings, image)
    if entry_found.status == OK:
        assert answer not in (None, "refused")
        registry = match(scope_of(image), verdict.settings, Cloud(), path="/s", retry_after=1.0).registry
        assert entry_found.detail.startswith(registry.source)
    elif entry_found.status == FAILED:
        assert answer == "refused" or image.startswith(CUSTOM), "a custom domain that only ACR's list names"
    elif entry_found.status == NO_MATCH:
        assert answer is None or image.startswith(CUSTOM), "a custom domain that only ACR's list names"
    else:
        assert entry_found.status == SKIPPED


@given(entries)
def test_what_convert_writes_means_the_same(found):
    verdict = judge(config_map_text(found))
    if verdict.document is None:
        return
    written = judge(yaml.safe_dump(verdict.document, sort_keys=False))
    assert written.problems == ()
    if not verdict.problems:
        for image in IMAGES:
            assert pull(written.settings, image) == pull(verdict.settings, image), image


@given(
    st.lists(
        st.sampled_from(sorted({*BREAKS, *KEYS, *MAP_BREAKS, *MAP_KEYS, "registries:\n", HEAD, "data:\n"})), max_size=8
    )
)
def test_no_heap_of_pieces_is_without_a_word_or_a_traceback(pieces):
    for place in ("node", "controller", "laptop"):
        verdict = judge("".join(pieces), place=place)
        assert verdict.settings or verdict.problems
        assert all(problem.remedy for problem in verdict.problems)


@given(entries, st.lists(st.tuples(st.integers(0, 2), st.sampled_from(BREAKS)), min_size=1, max_size=3))
def test_the_list_of_problems_does_not_grow_when_an_entry_is_repaired(found, breaks):
    def problems(slips):
        items = "".join(
            block(each.native()) + "".join({how: None for at, how in slips if at == number})
            for number, each in enumerate(found)
        )
        return judge(HEAD + "registries:\n" + items).problems

    everything = problems(breaks)
    for number in {at for at, _ in breaks}:
        assert len(problems([slip for slip in breaks if slip[0] != number])) <= len(everything) + len(problems([]))


@pytest.mark.parametrize("identity", ["basicAuth"])
@given(st.lists(st.sampled_from((*CUSTOM, "crpi-a1.cn-hangzhou.personal.cr.aliyuncs.com")), min_size=1, unique=True))
@settings(max_examples=15)
def test_plugin_and_docker_helper_hand_out_the_same_login(tmp_path_factory, identity, hosts):
    folder = tmp_path_factory.mktemp("login")
    for name in ("username", "password"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o600)
    files = {"usernameFile": f"{folder}/username", "passwordFile": f"{folder}/password"}
    document = {
        "apiVersion": "aliyun-acr-credential-provider/v1",
        "kind": "ProviderSettings",
        "registries": [{"domains": hosts, "identity": {"kind": identity, **files}}, {"identity": "broken"}],
    }
    path = folder / "settings.yaml"
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    for host in hosts:
        answers = []
        for image in (f"{host}/team/app", host + WITHOUT_NAMESPACE):
            question = Question(CredentialProviderRequest("credentialprovider.kubelet.k8s.io/v1", image), str(path))
            deadline = Deadline(5.0)
            with acquire_response(
                question, CacheFolder(str(folder)), Deadlines(deadline, deadline), Progress()
            ) as found:
                answers.append(json.loads(found.answer))
        assert answers == [{host: {"username": "username", "password": "password"}}] * 2
