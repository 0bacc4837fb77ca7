"""docs/tested-with-sdks.md: which SDK ran which case, and what came of it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from . import registry_cases
from .callers import BUILT, PROGRAMS, SDKS
from .cases import CASES
from .registry_cases import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .cases import Case
    from .registry_cases import RegistryCase

COLUMNS: list[tuple[str, Case | RegistryCase]] = [
    *((sdk.name, case) for sdk in SDKS for case in CASES),
    *((client, case) for client in CLIENTS for case in registry_cases.CASES),
]
"""Who runs what."""

WRITTEN = BUILT / "tested-with-sdks.md"
AGREES, DISAGREES, NOT_RUN = "agrees", "**disagrees**", "**not run**"

HEAD = """\
# The ACR sandbox, judged by Alibaba Cloud's SDKs

Written by `make tested-with-sdks`. Tests here talk to the ACR sandbox ([tests/sandbox](../tests/sandbox)), which
we wrote. In this suite Alibaba Cloud's official SDKs talk to it, unchanged, each from its registry:
[tests/sdks](../tests/sdks). "agrees" means that the SDK made the call, and read what the case expects. Clients of
registries do the same with the sandbox's registry; skopeo and buildah pull from it in `make test`.

Last run: {date}.

| caller | package | version |
|---|---|---|
{packages}

{remarks}

"""

FOUND = """\
## What the SDKs corrected

- The credentials libraries and Go's STS client sign by RPC 1.0 (HMAC-SHA1 over all parameters). The sandbox knew
  ACS3-HMAC-SHA256 alone.
- With that signature, the security token is in the URL. The STS clients send OIDC tokens in the URL too. They
  count on an answer, and the sandbox gave none. By default it still does not, because this project's programs must
  never send such a call; this suite switches that off (`Sts.lenient`).
- Python's credentials library asks STS by GET. The sandbox took POST alone; it still does by default.
- Java's SDKs send the bodies of their calls in chunks (`Transfer-Encoding: chunked`). The sandbox answered 413.
- STS quotes the string that it wanted signed after fixed words. JavaScript's credentials library reads them to tell a
  wrong secret from a wrong signature. The sandbox now has these words.
"""


def render(verdicts: Mapping[tuple[str, Case | RegistryCase], str], date: str) -> str:
    """Return the page, with the verdict of each SDK and client (by its name) on each of its cases."""
    packages = [
        f"| {sdk.name} | `{name}` | {version} |" for sdk in PROGRAMS for name, version in sorted(sdk.packages.items())
    ]
    remarks = [f"- {sdk.name}: {sdk.remark}" for sdk in PROGRAMS if sdk.remark]
    text = [HEAD.format(date=date, packages="\n".join(packages), remarks="\n".join(remarks))]
    for subject, cases in groupby(CASES, key=lambda case: case.subject):
        text += _table(subject, [sdk.name for sdk in SDKS], cases, verdicts)
    text += _table("Pulls from the registry", CLIENTS, registry_cases.CASES, verdicts)
    return "".join([*text, FOUND])


def _table(
    title: str,
    names: Sequence[str],
    cases: Iterable[Case | RegistryCase],
    verdicts: Mapping[tuple[str, Case | RegistryCase], str],
) -> list[str]:
    head = f"## {title}\n\n| case | {' | '.join(names)} |\n|---|{'---|' * len(names)}\n"
    return [
        head,
        *(f"| {case.name} | {' | '.join(verdicts[name, case] for name in names)} |\n" for case in cases),
        "\n",
    ]
