"""What is told about the frozen folder is what is in it: its SBOM, licences, statements, and its own words."""

import ast
import hashlib
import json
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support.harness import FROZEN, ROOT

from dist import archives, sbom
from freeze import portable
from freeze.build import STUBS
from freeze.bundles import PLUGIN

BUNDLE = FROZEN.parent
STATEMENTS = json.loads((ROOT / "packaging/dist/vex.json").read_text())


@pytest.fixture(scope="module")
def parts():
    return json.loads(PLUGIN.inventory.read_text())


@pytest.fixture(scope="module")
def bill(parts):
    return json.loads(sbom.sbom(parts, at=1_700_000_000, distribution="debian-12"))


def files_of(bill):
    for component in (bill["metadata"]["component"], *bill["components"]):
        yield from component.get("components", [])


def test_every_elf_file_of_the_bundle_is_in_the_sbom_with_its_digest(bill):
    there = {
        str(file.relative_to(BUNDLE)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in BUNDLE.rglob("*")
        if portable.is_elf(file)
    }
    assert {each["name"]: each["hashes"][0]["content"] for each in files_of(bill)} == there


def test_every_python_package_of_the_bundle_is_in_the_sbom(bill):
    """Judged by what PyInstaller noted, and by whose folder in site-packages each file is from."""
    packages = ROOT / "build/freeze-venv/lib" / f"python{platform.python_version().rpartition('.')[0]}/site-packages"
    names = {}
    for distribution in metadata.distributions(path=[str(packages)]):
        for file in distribution.files or ():
            names[file.parts[0]] = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
    noted = (ROOT / "build/freeze" / FROZEN.name / "PYZ-00.toc").read_text()
    sources = {Path(source) for _, source, _ in ast.literal_eval(noted)[1] if source != "-"}
    taken = {names[file.relative_to(packages).parts[0]] for file in sources if file.is_relative_to(packages)}
    # A module of a package that stubs were laid over, and that is not one of them.
    laid = ROOT / "build/freeze/path"
    inside = {file.relative_to(laid) for file in sources if file.is_relative_to(laid)}
    taken |= {names[file.parts[0]] for file in inside if not (STUBS / file).is_file()}
    assert {"pydantic", "annotated-types", "alibabacloud-tea-openapi"} <= taken
    told = {each["name"]: each["version"] for each in bill["components"] if each["purl"].startswith("pkg:pypi/")}
    assert taken - told.keys() == set()
    for name, version in told.items():
        assert metadata.distribution(name).version == version


def test_what_wheels_say_is_compiled_into_their_libraries_is_in_the_sbom(bill):
    """Crates, by the bills that wheels bring; what came from their builder's tools or folders is not of interest."""
    packages = ROOT / "build/freeze-venv/lib" / f"python{platform.python_version().rpartition('.')[0]}/site-packages"
    (theirs,) = packages.glob("pydantic_core-*.dist-info/sboms/*.json")
    listed = json.loads(theirs.read_text())["components"]
    inside = {(each["name"], each["version"]) for each in listed if each["scope"] == "required"}
    assert len(inside) > 50
    crates = {(each["name"], each["version"]): each for each in bill["components"] if "pkg:cargo/" in each["purl"]}
    assert crates.keys() == inside
    assert all(each["licenses"] for each in crates.values())
    (needs,) = [each["dependsOn"] for each in bill["dependencies"] if each["ref"].startswith("pkg:pypi/pydantic-core@")]
    assert needs == sorted(each["bom-ref"] for each in crates.values())


def test_a_library_whose_package_does_not_say_what_is_compiled_into_it_is_told_as_that(bill):
    binary = {each["name"] for each in bill["components"] if each.get("components") and "pkg:pypi/" in each["purl"]}
    silent = {name for name in binary if name != "pydantic-core"}
    assert silent
    (unknown,) = bill["compositions"]
    assert unknown["aggregate"] == "unknown"
    assert {each.partition("@")[0].removeprefix("pkg:pypi/") for each in unknown["dependencies"]} == silent


def test_a_package_whose_every_module_a_stub_replaces_is_not(bill):
    assert not {"aiohttp", "requests", "cryptography"} & {each["name"] for each in bill["components"]}


def test_the_sbom_and_the_vex_are_what_cyclonedx_says(parts, bill):
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(bill)) is None
    assert validator.validate_str(sbom.vex(parts, at=1_700_000_000)) is None


def test_the_same_parts_give_the_same_sbom(parts):
    assert len({sbom.sbom(parts, at=1_700_000_000, distribution="debian-12") for _ in range(2)}) == 1


def test_every_part_has_its_licence_in_the_bundle(parts):
    folders = [f"{each['name']}-{each['version']}" for each in parts["packages"]]
    folders += [each["source"] for each in parts["system"]]
    for folder in [*folders, "aliyun-acr-credential-provider"]:
        texts = [file for file in (BUNDLE / "licenses" / folder).iterdir() if file.stat().st_size]
        assert texts, folder
    assert all(package["licence"] != "see its licence file" for package in parts["packages"])


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda each: each["id"])
def test_the_tests_that_a_statement_about_a_vulnerability_names_exist(statement, parts):
    assert statement["package"] in {each["name"] for each in parts["packages"]}, "it is not shipped any more"
    assert statement["tests"]
    for test in statement["tests"]:
        file, _, name = test.partition("::")
        assert f"\ndef {name}(" in (ROOT / file).read_text()


def test_version_tells_what_it_is_made_of(program):
    told = json.loads(program.run(b"", "--version", "--output", "json").stdout)
    assert set(told) == {*["version", "architecture", "python", "openssl", "sqlite", "cLibrary", "commit", "packages"]}
    assert told["openssl"].startswith("OpenSSL 3.")
    assert {"pydantic", "diskcache", "alibabacloud-cr20181201"} <= told["packages"].keys()
    if program.command == (str(FROZEN),):
        assert re.fullmatch(r"([0-9a-f]{40}(-changed)?)?", told["commit"])
    plain = program.run(b"", "--version").stdout.decode()
    assert plain == f"aliyun-acr-credential-provider {told['version']}\n"


def test_an_archive_holds_the_bundle_for_root_and_nothing_of_who_packed_it(tmp_path):
    import io
    import tarfile

    (tmp_path / "folder").mkdir()
    for name, mode in (("b", 0o600), ("a", 0o700)):
        (tmp_path / "folder" / name).write_text(name)
        (tmp_path / "folder" / name).chmod(mode)
    packed = archives.archive(tmp_path / "folder", 1_700_000_000)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        shown = [(each.name, each.mode, each.uid, each.gid, each.uname, each.mtime) for each in tar]
    assert shown == [
        ("folder", 0o755, 0, 0, "root", 1_700_000_000),
        ("folder/a", 0o755, 0, 0, "root", 1_700_000_000),
        ("folder/b", 0o644, 0, 0, "root", 1_700_000_000),
    ]


def test_of_a_folder_that_operators_copy_into_only_what_git_knows_is_packed(tmp_path):
    (tmp_path / "overlays/mine").mkdir(parents=True)
    (tmp_path / "overlays/example").mkdir()
    for name in ("base.yaml", "overlays/example/kustomization.yaml", "overlays/mine/settings.yaml"):
        (tmp_path / name).write_text("a: b")
    (tmp_path / "overlays/.gitignore").write_text("mine\n")
    for words in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    packed = archives.tracked(tmp_path / "overlays", tmp_path)
    names = {str(each.relative_to(tmp_path)) for each in packed}
    assert names == {"overlays/.gitignore", "overlays/example", "overlays/example/kustomization.yaml"}
