"""Makes what a shell has of a command line from its parsers: completion for bash, zsh and fish, and a man page.

freeze.build puts the files into each bundle, where `completion SHELL` finds them.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAN_PAGE = "share/man/man1/{}.1"


def files(*, is_kubectl: bool) -> dict[str, str]:
    """Return the texts of all files, by their path in the bundle."""
    import shtab  # noqa: PLC0415 - an environment of an earlier lock file has neither
    from acr_credential_provider.commands import about, cli  # noqa: PLC0415
    from acr_credential_provider.version import VERSION  # noqa: PLC0415
    from argparse_manpage.manpage import Manpage  # noqa: PLC0415

    parser = cli.make_parser(is_kubectl=is_kubectl, is_whole=True, has_hidden=False)
    _drop_unlisted(parser)
    parser.prog = parser.prog.replace(" ", "-")  # what is typed, and what kubectl runs
    texts = {path.format(parser.prog): shtab.complete(parser, shell) for shell, path in about.SHELLS.items()}
    page = Manpage(parser)
    page.date, page.manual = VERSION, "Alibaba Cloud Container Registry on Kubernetes"  # the same bytes each day
    return texts | {MAN_PAGE.format(parser.prog): str(page)}


def _drop_unlisted(parser: argparse.ArgumentParser) -> None:
    """Take from *parser* the commands that its help does not list: a man page would have them."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to its own tree
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            listed = {choice.dest for choice in action._choices_actions}  # noqa: SLF001
            for word in set(action.choices) - listed:
                del action.choices[word]
            for command in action.choices.values():
                _drop_unlisted(command)


def write(folder: Path, *, is_kubectl: bool) -> None:
    """Write all files into the bundle *folder*."""
    for path, text in files(is_kubectl=is_kubectl).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
