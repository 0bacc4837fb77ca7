"""Lists the parts of a bundle and their owners: read by the SBOM, the licences and ``--version --output json``.

Run with the Python that froze it, which knows the packages that it came from.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sqlite3
import ssl
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freeze import portable
from freeze.bundles import NAME as OURS
from freeze.bundles import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable

STUBS = Path(__file__).with_name("stubs")
BOOTLOADER = "pyinstaller"
LICENCES = re.compile(r"(?i)(LICEN[CS]E|COPYING|NOTICE|AUTHORS)")


def inventory(contents: dict[str, Any], bundle: Path, build_path: Path) -> dict[str, Any]:
    """Return the parts of *bundle*.

    *contents* is what the spec wrote: ``pure`` ([module, source file]) and ``files`` ([path in the bundle's lib,
    source file]). *build_path* is where the stubs were laid over packages.
    """
    owners = Owners(build_path)
    sources = {name: Path(source) for name, source in contents["files"]}
    packages = {BOOTLOADER}
    packages |= {owners.python(Path(source)) for _, source in contents["pure"] if source != "-"}
    packages |= {owners.python(source) for source in sources.values()}
    files = [elf_file(file, bundle, sources, owners) for file in sorted(bundle.rglob("*")) if portable.is_elf(file)]
    return {
        "version": version(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "sqlite": sqlite3.sqlite_version,
        "cLibrary": " ".join(platform.libc_ver()),
        "packages": [
            python_package(name, is_binary=name in {file["owner"] for file in files})
            for name in sorted(packages - {"", OURS})
        ],
        "system": [debian_package(name) for name in sorted({file["owner"] for file in files} - {"", OURS})
                   if not is_installed(name)],
        "files": files,
    }  # fmt: skip


class Owners:
    """Finds the owner of a file of the build machine: a Python distribution, a Debian package, or this project."""

    def __init__(self, build_path: Path) -> None:
        self._build_path = build_path
        self._tops = metadata.packages_distributions()
        self._files = {
            str(Path(str(distribution.locate_file(file))).resolve()): canonical(distribution.metadata["Name"])
            for distribution in metadata.distributions()
            for file in distribution.files or ()
        }

    def python(self, source: Path) -> str:
        """Return the distribution that *source* came with; "" for the standard library."""
        if source.is_relative_to(self._build_path):
            inside = source.relative_to(self._build_path)
            if (STUBS / inside).is_file() or (STUBS / inside.parts[0] / "__init__.py").is_file():
                return OURS
            return canonical(self._tops[inside.parts[0]][0])
        if source.is_relative_to(REPOSITORY) and not source.is_relative_to(Path(sys.prefix)):
            return OURS
        return self._files.get(str(source.resolve()), "")

    def system(self, source: Path) -> str:
        """Return the Debian package that *source* came with, or end the build."""
        real = source.resolve()
        # A package may list a file where it was before /lib became a link.
        for path in (real, Path(str(real).removeprefix("/usr")), Path(f"/usr{real}"), source):
            done = subprocess.run(
                ["dpkg-query", "--search", str(path)],  # noqa: S607
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                return done.stdout.partition(":")[0]
        sys.exit(f"error: no package owns {source}, so its licence and version are not known")


def elf_file(file: Path, bundle: Path, sources: dict[str, Path], owners: Owners) -> dict[str, str]:
    """Return path, digest and owner of an ELF file of the *bundle*."""
    path = str(file.relative_to(bundle))
    inside = str(file.relative_to(bundle / "lib")) if path.startswith("lib/") else ""
    if not inside:
        owner = OURS  # the launcher
    elif inside == portable.PROGRAM:
        owner = BOOTLOADER
    else:
        source = sources.get(inside) or portable.of_c_library(inside)
        owner = owners.python(source) or owners.system(source)
    return {"path": path, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "owner": owner}


def python_package(name: str, *, is_binary: bool) -> dict[str, Any]:
    """Return name, version and licence (as the package says it) of an installed distribution.

    One that *is_binary* has libraries of others compiled into it: ``inside`` are these, None where it has no SBOM.
    """
    fields = metadata.metadata(name)
    classifiers = [text for text in fields.get_all("Classifier") or () if text.startswith("License ::")]
    licence = fields["License-Expression"] or (fields["License"] or "").partition("\n")[0] or ", ".join(classifiers)
    # Two spellings of what SPDX has a name for; the rest are such names, or texts.
    licence = {"Apache License 2.0": "Apache-2.0", "Apache 2.0": "Apache-2.0"}.get(licence, licence)
    return {
        "name": canonical(fields["Name"]),
        "version": fields["Version"],
        "licence": licence or "see its licence file",
        "inside": compiled_in(metadata.distribution(name)) if is_binary else [],
    }


def compiled_in(distribution: metadata.Distribution) -> list[dict[str, str]] | None:
    """Return name, version, purl and licence of each component in the SBOMs of a wheel (PEP 770, CycloneDX).

    None without an SBOM. Build tools (scope ``excluded``) are left out.
    """
    bills = [Path(str(distribution.locate_file(file))) for file in distribution.files or () if "sboms" in file.parts]
    listed = [part for bill in bills for part in json.loads(bill.read_text()).get("components", [])]
    components = {
        purl: {"name": part["name"], "version": part["version"], "purl": purl, "licence": licence_of(part)}
        for part in listed
        if part.get("scope") != "excluded"
        # The folder of the machine that built the wheel is of no interest.
        for purl in [part["purl"].partition("?download_url=file:")[0]]
    }
    return [components[purl] for purl in sorted(components)] if bills else None


def licence_of(part: dict[str, Any]) -> str:
    """Return the licence of a CycloneDX component, "" if it says none."""
    for licence in part.get("licenses", []):
        named = licence.get("license", {})
        return str(licence.get("expression") or named.get("id") or named.get("name") or "")
    return ""


def debian_package(name: str) -> dict[str, str]:
    """Return name, version, source package and architecture of an installed Debian package."""
    fields = "${Package}\t${Version}\t${source:Package}\t${Architecture}"
    line = portable.run("dpkg-query", "--show", f"--showformat={fields}\\n", name).splitlines()[0]
    return dict(zip(("name", "version", "source", "architecture"), line.split("\t"), strict=True))


def is_installed(name: str) -> bool:
    """True if *name* is a Python distribution here."""
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def licence_texts(parts: dict[str, Any]) -> Iterable[tuple[str, bytes]]:
    """Yield (path, text) of every licence that the bundle's *parts* come under."""
    yield f"{OURS}/LICENSE", (REPOSITORY / "LICENSE").read_bytes()
    for package in parts["packages"]:
        folder = f"{package['name']}-{package['version']}"
        distribution = metadata.distribution(package["name"])
        yield f"{folder}/LICENCE-AS-DECLARED", f"{package['licence']}\n".encode()
        for file in distribution.files or ():
            path = Path(str(file))
            if any(part.endswith(".dist-info") for part in path.parts) and LICENCES.match(path.name):
                yield f"{folder}/{path.name}", Path(str(distribution.locate_file(file))).read_bytes()
    for package in parts["system"]:
        text = Path("/usr/share/doc") / package["name"] / "copyright"
        yield f"{package['source']}/copyright", text.read_bytes()
    yield "libc6-CHANGES", CHANGES.encode()


CHANGES = """\
The C library and its loader (libc.so.6, ld-linux-*) and libcrypto.so.3 are Debian's but for this: names of files
and folders of the host that they would read are changed in place, by one byte each, into names that do not exist.
packaging/freeze/portable.py in the source of aliyun-acr-credential-provider does it and lists them. Both licences allow
you to put your own build of these libraries into lib/ in their place.
"""


def version() -> str:
    """Return the product's version."""
    text = (REPOSITORY / "provider/acr_credential_provider/version.py").read_text()
    return re.findall(r'^VERSION = "(.+)"$', text, re.MULTILINE)[0]


def canonical(name: str) -> str:
    """Return *name* as package indices spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()
