"""The question before what destroys. `--yes` answers it; without a terminal, as in a DaemonSet, none is asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .output import ask, warn

if TYPE_CHECKING:
    import argparse


def is_confirmed(options: argparse.Namespace, question: str) -> bool:
    """True if what *question* names may be done; else says that nothing was."""
    if options.yes or not os.isatty(0) or ask(question):
        return True
    warn("note", "nothing was changed")
    return False
