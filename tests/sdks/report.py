"""docs/tested-with-sdks.md: which SDK ran which case, and what came of it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from .callers import BUILT, SDKS
from .cases import CASES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .cases import Case

WRITTEN = BUILT / "tested-with-sdks.md"
AGREES, DISAGREES, NOT_RUN = "agrees", "**disagrees**", "**not run**"

HEAD = """\
# The ACR sandbox, judged by Alibaba Cloud's SDKs

Written by `make tested-with-sdks`. Tests here talk to the ACR sandbox ([tests/sandbox](../tests/sandbox)), which
we wrote. In this suite Alibaba Cloud's official SDKs talk to it, unchanged, each from its registry:
[tests/sdks](../tests/sdks). "agrees" means that the SDK made the call, and read what the case expects.

Last run: {date}.

| SDKs in | package | version |
|---|---|---|
{packages}

{remarks}

"""

FOUND = """\
## What the SDKs corrected

- The credentials libraries and Go's STS client sign by RPC 1.0 (HMAC-SHA1 over all parameters). The sandbox knew
  ACS3-HMAC-SHA256 alone.
- With that signature, the security token is in the URL. The STS clients send OIDC tokens in the URL too. The cloud
  answers such calls, the sandbox did not. By default it still does not, because this project's programs must
  never send one; this suite switches that off (`Sts.lenient`).
- Python's credentials library asks STS by GET. The sandbox took POST alone; it still does by default.
- Java's SDKs send the bodies of their calls in chunks (`Transfer-Encoding: chunked`). The sandbox answered 413.
- STS quotes the string that it wanted signed after fixed words. JavaScript's credentials library reads them to tell a
  wrong secret from a wrong signature. The sandbox now has these words.
"""


def render(verdicts: Mapping[tuple[str, Case], str], date: str) -> str:
    """Return the page, with the verdict of each SDK (by its name) on each case."""
    packages = [
        f"| {sdk.name} | `{name}` | {version} |" for sdk in SDKS for name, version in sorted(sdk.packages.items())
    ]
    remarks = [f"- {sdk.name}: {sdk.remark}" for sdk in SDKS if sdk.remark]
    text = [HEAD.format(date=date, packages="\n".join(packages), remarks="\n".join(remarks))]
    for subject, cases in groupby(CASES, key=lambda case: case.subject):
        text.append(f"## {subject}\n\n| case | {' | '.join(sdk.name for sdk in SDKS)} |\n|---|{'---|' * len(SDKS)}\n")
        text += [f"| {case.name} | {' | '.join(verdicts[sdk.name, case] for sdk in SDKS)} |\n" for case in cases]
        text.append("\n")
    return "".join([*text, FOUND])
