"""Checks of `explain`, `doctor` and `doctor --cluster`: one kind of result, one runner, one form as text and as JSON.

A check is a name and a function of a subject. The function returns the detail of a check that is ok, or yields
results of its own (none: it is ok), or raises. The runner gives every result the name of its check.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from acr_credential_provider.fastpath.plain_text import plain_text
from acr_credential_provider.model import exit_codes
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import ConfigurationError, CredentialProviderError
from acr_credential_provider.model.remedy import NONE, Remedy, coded, printable
from acr_credential_provider.model.resource_limits import limit_behind

from .output import write_document, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Subject = TypeVar("Subject")
    Outcome = str | Iterable["CheckResult"]
    Check = tuple[str, Callable[[Subject], Outcome]]

OK, WARNING, SKIPPED, NO_MATCH, FAILED, NOT_RUN = "ok", "warning", "skipped", "no match", "failed", "not run"
SECONDS = 300.0
"""For all checks together; none begins later."""


class CheckSkippedError(Exception):
    """The check does not apply, or what it needs is not there; the text says why."""

    def __init__(self, reason: str, *, remedy: Remedy = NONE) -> None:
        super().__init__(reason)
        self.remedy = remedy


class NoMatchError(ConfigurationError):
    """No registry entry of the settings serves the image."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check: status, observation or problem, remedy, and location."""

    name: str
    status: str
    detail: str = ""
    remedy: Remedy = NONE
    location: str = ""

    def __post_init__(self) -> None:
        """Make each text one printable line, because names of others are among them."""
        object.__setattr__(self, "remedy", printable(self.remedy))
        for name in ("detail", "location"):
            object.__setattr__(self, name, plain_text(getattr(self, name)))


def failed(detail: str, *, remedy: Remedy, location: str = "") -> CheckResult:
    """Return the result of a check that failed."""
    return CheckResult("", FAILED, detail, remedy, location)


def warning(detail: str, *, remedy: Remedy, location: str = "") -> CheckResult:
    """Return a result that keeps nothing from working."""
    return CheckResult("", WARNING, detail, remedy, location)


def run_checks(
    checks: Sequence[Check[Subject]],
    subject: Subject,
    *,
    keep_going: bool = False,
    seconds: float = SECONDS,
    on_result: Callable[[CheckResult], None] = lambda _result: None,
) -> list[CheckResult]:
    """Run *checks* on *subject* in order, until one fails unless *keep_going*; none begins after *seconds*.

    *on_result* gets each result as soon as there is one.
    """
    deadline = Deadline(seconds)
    results: list[CheckResult] = []
    blocker = ""
    for name, check in checks:
        if blocker:
            results.append(CheckResult(name, NOT_RUN, blocker))
            on_result(results[-1])
            continue
        own = list(_results(check, subject)) if deadline.remaining() else [_late(seconds)]
        named = [replace(result, name=name) for result in own] or [CheckResult(name, OK)]
        for result in named:
            on_result(result)
        results += named
        if any(result.status in (FAILED, NO_MATCH) for result in own) and not (keep_going and deadline.remaining()):
            blocker = f"{name} failed"
    return results


def _late(seconds: float) -> CheckResult:
    return failed(
        f"{seconds:.0f} s were over before it began",
        remedy=Remedy("DeadlineExceeded", "Find out what is slow, and run it again."),
    )


def _results(check: Callable[[Subject], Outcome], subject: Subject) -> Iterator[CheckResult]:
    try:
        outcome = check(subject)
        if isinstance(outcome, str):
            yield CheckResult("", OK, outcome)
        else:
            yield from outcome
    except CheckSkippedError as skipped:
        yield CheckResult("", SKIPPED, str(skipped), skipped.remedy)
    except NoMatchError as error:
        yield CheckResult("", NO_MATCH, error.problem, error.remedy)
    except CredentialProviderError as error:
        yield failed(error.problem, remedy=error.remedy)
    except Exception as error:  # noqa: BLE001 - its text may hold a secret, so only its type is shown
        limit = limit_behind(error)
        if limit is None:
            yield failed(
                f"unforeseen {type(error).__name__}", remedy=Remedy("UnforeseenError", "Report it, with this version.")
            )
        else:
            yield failed(limit.problem, remedy=limit.remedy)


def text(results: Iterable[CheckResult]) -> str:
    """Return *results* as lines for a terminal."""
    lines = []
    for result in results:
        parts = (result.name, result.location, coded(result.detail, result.remedy))
        lines.append(f"{result.status:<9}  {': '.join(part for part in parts if part)}")
        if result.remedy:
            lines.append(f"{'':<9}  remedy: {result.remedy}")
    return "\n".join(lines)


def to_dict(results: Sequence[CheckResult]) -> dict[str, Any]:
    """Return *results* as JSON: ``healthy``, and ``checks`` with what is not empty of each."""
    checks = [
        {name: value for name, value in (asdict(result) | {"code": result.remedy.code}).items() if value}
        for result in results
    ]
    return {"healthy": exit_code(results) == 0, "checks": checks}


def exit_code(results: Iterable[CheckResult]) -> int:
    """Return the exit code of *results*: that of the worst of them."""
    statuses = {result.status for result in results}
    return exit_codes.FAILED if FAILED in statuses else exit_codes.REFUSED if NO_MATCH in statuses else exit_codes.DONE


def show(result: CheckResult) -> None:
    """Print one result, as soon as there is one."""
    write_document(text([result]))


def report(results: Sequence[CheckResult], *, as_json: bool, are_shown: bool = False) -> int:
    """Print *results*, unless each was shown before; return the exit code."""
    if as_json:
        write_json(to_dict(results))
    elif not are_shown:
        write_document(text(results))
    return exit_code(results)
