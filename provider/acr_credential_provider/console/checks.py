"""What a doctor does and says: steps that are tried in order, and what became of each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from acr_credential_provider.model.errors import CredentialProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OK, FAILED, SKIPPED, NOT_TRIED = "ok", "failed", "skipped", "not tried"


class SkippedError(Exception):
    """This step does not apply here; its text says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to try; *run* returns what it saw, raises `CredentialProviderError` or `SkippedError`."""

    name: str
    run: Callable[[], str]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What became of a step: ``ok`` and what was *seen*, ``failed``, ``skipped`` and why, or ``not tried``."""

    name: str
    outcome: str
    detail: str = ""
    problem: str = ""
    remedy: str = ""


def run_checks(steps: Iterable[Check]) -> list[CheckResult]:
    """Try *steps* in order until one fails; those after it are not tried."""
    findings: list[CheckResult] = []
    is_broken = False
    for step in steps:
        if is_broken:
            findings.append(CheckResult(step.name, NOT_TRIED))
            continue
        try:
            findings.append(CheckResult(step.name, OK, detail=step.run()))
        except SkippedError as reason:
            findings.append(CheckResult(step.name, SKIPPED, detail=str(reason)))
        except CredentialProviderError as error:
            findings.append(CheckResult(step.name, FAILED, problem=error.problem, remedy=error.remedy))
            is_broken = True
        except Exception as error:  # noqa: BLE001 - its text may hold anything, so only its type is told
            problem = f"unforeseen {type(error).__name__}"
            findings.append(CheckResult(step.name, FAILED, problem=problem, remedy="Report it, with this version."))
            is_broken = True
    return findings


def text(findings: Iterable[CheckResult]) -> str:
    """Return *findings* as lines for a terminal."""
    lines = []
    for each in findings:
        told = each.detail or each.problem
        lines.append(f"{each.outcome:<9}  {each.name}{': ' + told if told else ''}")
        if each.remedy:
            lines.append(f"{'':<9}  remedy: {each.remedy}")
    return "\n".join(lines)


def to_dict(findings: Iterable[CheckResult]) -> dict[str, Any]:
    """Return *findings* as the JSON that ``--output json`` prints."""
    steps = [{name: value for name, value in asdict(each).items() if value} for each in findings]
    return {"healthy": all(each["outcome"] != FAILED for each in steps), "steps": steps}
