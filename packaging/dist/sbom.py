"""Says in CycloneDX what a bundle is made of, and which known vulnerabilities of its parts do not touch it."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.impact_analysis import ImpactAnalysisJustification, ImpactAnalysisState
from cyclonedx.model.vulnerability import BomTarget, Vulnerability, VulnerabilityAnalysis, VulnerabilitySource
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from freeze.bundles import NAME as OURS

STATEMENTS = Path(__file__).with_name("vex.json")
CHANGED = {"libc6", "libssl3"}
"""System packages whose files portable.py changes."""


def sbom(parts: dict[str, Any], *, at: int, distribution: str) -> str:
    """Return the SBOM of the bundle with *parts* (freeze/inventory.py) as JSON.

    *at* is its time in Unix seconds; *distribution* names the system that libraries came from ("debian-12").
    """
    whole = Component(name=OURS, version=parts["version"], type=ComponentType.APPLICATION, bom_ref=OURS)
    components = [whole]
    for package in parts["packages"]:
        purl = PackageURL("pypi", None, package["name"], package["version"])
        licence = LicenseFactory().make_from_string(package["licence"])
        components.append(component(package, purl, licenses=[licence]))
    for package in parts["system"]:
        qualifiers = {"arch": package["architecture"], "distro": distribution, "upstream": package["source"]}
        purl = PackageURL("deb", "debian", package["name"], package["version"], qualifiers)
        pedigree = Pedigree(notes="paths changed in place; see packaging/freeze/portable.py")
        components.append(component(package, purl, pedigree=pedigree if package["name"] in CHANGED else None))
    by_name = {part.name: part for part in components}
    for file in parts["files"]:
        digest = HashType(alg=HashAlgorithm.SHA_256, content=file["sha256"])
        part = Component(name=file["path"], type=ComponentType.FILE, bom_ref=f"file:{file['path']}", hashes=[digest])
        by_name[file["owner"]].components.add(part)
    bom = Bom(components=components[1:])
    bom.metadata.component = whole
    bom.register_dependency(whole, components[1:])
    for package in parts["packages"]:
        inside = [compiled_in(part) for part in package["inside"] or ()]
        bom.components.update(inside)
        bom.register_dependency(by_name[package["name"]], inside)
    silent = [str(by_name[package["name"]].bom_ref) for package in parts["packages"] if package["inside"] is None]
    return written(bom, at, "sbom", parts, compositions=[{"aggregate": "unknown", "dependencies": silent}])


def vex(parts: dict[str, Any], *, at: int) -> str:
    """Return the statements of vex.json about packages among *parts* as a CycloneDX VEX."""
    versions = {package["name"]: package["version"] for package in parts["packages"]}
    bom = Bom()
    for statement in json.loads(STATEMENTS.read_text()):
        if statement["package"] not in versions:
            continue
        purl = PackageURL("pypi", None, statement["package"], versions[statement["package"]])
        analysis = VulnerabilityAnalysis(
            state=ImpactAnalysisState(statement["state"]),
            justification=ImpactAnalysisJustification(statement["justification"]),
            detail=f"{statement['detail']} Shown by: {', '.join(statement['tests'])}",
        )
        bom.vulnerabilities.add(
            Vulnerability(
                bom_ref=statement["id"],
                id=statement["id"],
                source=VulnerabilitySource(name="NVD"),
                analysis=analysis,
                affects=[BomTarget(ref=str(purl))],
            )
        )
    bom.metadata.component = Component(
        name=OURS, version=parts["version"], type=ComponentType.APPLICATION, bom_ref=OURS
    )
    return written(bom, at, "vex", parts)


def compiled_in(part: dict[str, str]) -> Component:
    """Return a *part* of a wheel's library."""
    licences = [LicenseFactory().make_from_string(part["licence"])] if part["licence"] else []
    return component(part, PackageURL.from_string(part["purl"]), licenses=licences)


def component(package: dict[str, str], purl: PackageURL, **more: Any) -> Component:
    return Component(name=package["name"], version=package["version"], purl=purl, bom_ref=str(purl), **more)


def written(bom: Bom, at: int, kind: str, parts: dict[str, Any], **more: Any) -> str:
    """Return *bom* as JSON, the same each time; *more* are fields of CycloneDX that its library does not have."""
    bom.metadata.timestamp = datetime.fromtimestamp(at, UTC)
    digest = json.dumps(parts, sort_keys=True)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{OURS} {kind} {at} {digest}")
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    return json.dumps(document | more, indent=2) + "\n"
