"""Forms of an acr-configuration that people have, from documentation and public repositories: what each one means.

`samples/` has them with their sources. Names, ids and accounts are invented; keys, nesting, quoting, indentation and
spelling are as they were found.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from acr_credential_provider.acr_configuration import convert, is_one
from acr_credential_provider.commands.cli import main
from acr_credential_provider.fastpath.response_cache import FOREVER
from acr_credential_provider.model.errors import ConfigurationError
from acr_credential_provider.model.image_reference import scope_of
from acr_credential_provider.pull_secrets.config.configuration import parse, text_of
from acr_credential_provider.settings import ProviderSettings
from acr_credential_provider.settings.cluster_origin import ClusterOrigin
from acr_credential_provider.settings.registry_matching import Hosts, match
from support.judged import validate, validate_conversion

FOLDER = Path(__file__).parent / "samples"
NODE_REGION = "cn-hangzhou"
KEYS = "/run/keys"
GRID = (
    "registry.cn-hangzhou.aliyuncs.com/web/app",
    "registry-vpc.cn-beijing.aliyuncs.com/web/app",
    "registry.cn-hangzhou.aliyuncs.com/acs/pause",
    "shop-registry.cn-hangzhou.cr.aliyuncs.com/web/app",
    "lab-registry-vpc.cn-beijing.cr.aliyuncs.com/web/app",
    "images.example.com/web/app",
    "stranger.example.org/web/app",
)


@dataclass(frozen=True)
class Sample:
    """A text, and what it means. *entries* are the native registries that a node can use of it (None: it is an error).

    *problems* are ``LINE FIELD: start``; *changed* and *notes* are starts too. *controller* are the controller's
    entries, by default the node's. *images* map to an instance, ``personal``, ``none`` or ``refused``.
    """

    name: str
    source: str
    text: str
    entries: list
    problems: list = field(default_factory=list)
    changed: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    controller: list | None = None
    namespaces: list | None = None
    images: dict = field(default_factory=dict)
    anywhere: bool = False
    """Whether there may be more problems than these."""
    is_joined: bool = False
    """Whether an API server keeps its lines as one, so that no controller can tell them apart."""

    def __str__(self):
        return self.name


def read(file):
    for group in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        for sample in group["samples"]:
            yield Sample(**({"source": group["source"]} | sample))


SAMPLES = [sample for file in sorted(FOLDER.glob("*.yaml")) for sample in read(file)]
each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=str)


def test_every_sample_has_a_name_of_its_own_and_a_source():
    assert len({sample.name for sample in SAMPLES}) == len(SAMPLES)
    assert all(len(sample.source) > 10 for sample in SAMPLES)


def plain(registries):
    """Return *registries* as the samples have them: the node's identity and the paths of keys go without saying."""
    found = []
    for registry in registries:
        identity = {key: value for key, value in registry["identity"].items() if not key.endswith("File")}
        rest = {key: value for key, value in registry.items() if key != "identity"}
        found.append(rest if identity == {"kind": "nodeRole"} else rest | {"identity": identity})
    return found


def starts(found, wanted):
    assert len(found) == len(wanted), found
    assert all(any(text.startswith(start) for text in found) for start in wanted), found


@each_sample
def test_a_node_understands_it(sample):
    assert is_one(sample.text)
    conversion = convert(sample.text, keys_directory=KEYS)
    judged = validate_conversion(conversion)
    problems = [f"{each.line} {each.field}: {each.problem}" for each in conversion.problems]
    if sample.anywhere:
        assert all(any(text.startswith(start) for text in problems) for start in sample.problems), problems
    else:
        starts(problems, sample.problems)
    assert all(each.remedy for each in conversion.problems)
    kept = [change.what for change in conversion.changes if not change.what.startswith("the access key moved")]
    starts(kept, sample.changed)
    notes = [note.what for note in conversion.notes]
    assert all(any(note.startswith(start) for note in notes) for start in sample.notes), notes
    assert plain(conversion.document["registries"] if conversion.document else []) == sample.entries
    assert isinstance(judged, ProviderSettings) == bool(sample.entries)
    assert "CANARY" not in repr(conversion) + repr(judged)


def controlled(text):
    """Return *text*, from the cluster's own ConfigMap, as the controller understands it."""
    return parse(text, role="nodeRole", keys_directory=KEYS, origin=ClusterOrigin())


@each_sample
def test_the_controller_understands_it_too(sample):
    parsed = controlled(sample.text)
    entries = sample.entries if sample.controller is None else sample.controller
    assert bool(parsed.settings) == bool(entries), parsed.problems
    if parsed.settings is None:
        assert parsed.problems
        return
    found = [
        (each.instance_id, each.region, list(each.domains), each.identity.kind) for each in parsed.settings.registries
    ]
    assert found == [
        (
            each.get("instanceId", ""),
            each.get("region"),
            each.get("domains", []),
            each.get("identity", {}).get("kind", "nodeRole"),
        )
        for each in entries
    ]
    if sample.namespaces is not None:
        assert list(parsed.spec.namespaces) == sample.namespaces


def data_of(sample):
    """Return the data that an API server would hand out for *sample*; None if it takes no such text."""
    try:
        data = yaml.safe_load(sample.text)["data"]
        return data if all(isinstance(value, str) for value in data.values()) else None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None


@pytest.mark.parametrize("sample", [each for each in SAMPLES if data_of(each)], ids=str)
def test_an_api_server_that_takes_it_hands_the_controller_the_same(sample):
    sent, written = controlled(text_of(data_of(sample))), controlled(sample.text)
    if sample.is_joined:
        assert sent.settings is None
        return
    assert sent.settings == written.settings
    assert [each.problem for each in sent.problems] == [each.problem for each in written.problems]


class Listed:
    """Hosts as ACR would list them: cri-shop0001 has shop-registry and shop-registry-vpc of its region."""

    def region_of(self, registry):
        return registry.region or NODE_REGION

    def known(self, registry):
        name = registry.instance_id.removeprefix("cri-").rstrip("0123456789")
        hosts = [f"{name}-registry{network}.{self.region_of(registry)}.cr.aliyuncs.com" for network in ("", "-vpc")]
        return Hosts(hosts, FOREVER)

    ask = known


def answer(settings, image):
    """Return whose login *image* gets: an instance, ``personal``, ``none`` or ``refused``."""
    try:
        found = match(scope_of(image), settings, Listed(), path="/etc/settings.yaml", retry_after=1.0).registry
    except ConfigurationError:
        return "refused"
    return "none" if found is None else found.instance_id or "personal"


@each_sample
def test_its_images_get_the_login_of_their_entry(sample):
    judged = validate_conversion(convert(sample.text, keys_directory=KEYS))
    if not isinstance(judged, ProviderSettings):
        assert set(sample.images.values()) <= {"refused"}
        return
    assert {image: answer(judged, image) for image in sample.images} == sample.images


@pytest.fixture
def run(tmp_path, capsys):
    def run(*words, text):
        file = tmp_path / "settings.yaml"
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)
        code = main([*(str(file) if word == "FILE" else word for word in words)])
        return SimpleNamespace(code=code, **dict(zip(("stdout", "stderr"), capsys.readouterr(), strict=True)))

    return run


@each_sample
def test_the_commands_say_what_it_is(sample, run, tmp_path):
    validated = run("settings", "validate", "FILE", text=sample.text)
    keys = "customAccessKey" in sample.text and any("identity" in each for each in sample.entries)
    expected = 0 if sample.entries and not sample.problems and not keys else 1
    assert validated.code == expected, validated.stderr
    assert (validated.code == 0) or "remedy: " in validated.stderr
    converted = run("settings", "convert", "FILE", "--keys-directory", str(tmp_path / "keys"), text=sample.text)
    assert bool(converted.stdout) == bool(sample.entries)
    assert "CANARY" not in validated.stdout + validated.stderr + converted.stdout + converted.stderr
    if not sample.entries or sample.problems:
        assert "remedy: " in converted.stderr
        return
    native = validate(converted.stdout)
    judged = validate_conversion(convert(sample.text, keys_directory=KEYS))
    images = {*GRID, *sample.images}
    assert {image: answer(native, image) for image in images} == {image: answer(judged, image) for image in images}


def is_asked_offline(sample):
    """True if *sample* has images, and an identity that needs no files."""
    return sample.images and not any("identity" in each for each in sample.entries)


@pytest.mark.parametrize("sample", [each for each in SAMPLES if is_asked_offline(each)], ids=str)
def test_explain_names_the_entry_or_the_error(sample, run):
    for image, owner in sample.images.items():
        said = run(
            "explain",
            image,
            "--settings",
            "FILE",
            "--cache",
            "/nonexistent/cache",
            "--output",
            "json",
            text=sample.text,
        )
        checks = {check["name"]: check for check in json.loads(said.stdout)["checks"]}
        if not sample.entries:
            assert (said.code, checks["settings"]["status"]) == (1, "failed")
        elif owner in ("none", "refused"):
            assert checks["registry entry"]["status"] != "ok", checks["registry entry"]
        else:
            assert checks["registry entry"]["status"] in ("ok", "skipped"), checks["registry entry"]
