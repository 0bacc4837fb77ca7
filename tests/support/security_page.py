"""The threat model's page, docs/security.md, as tests read it: its tables, and the code and tests that it names."""

import re

from support.harness import ROOT

PAGE = "docs/security.md"
PACKAGES = ("provider/acr_credential_provider", "node-config/acr_node_config")
"""Where paths of code on the page start, if not at the repository's top."""


def text():
    return (ROOT / PAGE).read_text()


def table(name):
    """Return the rows, as tuples of cells, of the table behind the marker with *name*."""
    (marked,) = re.findall(rf"^<!-- table: {name} -->\n((?:\|.*\n)+)", text(), re.MULTILINE)
    _, _, *rows = marked.splitlines()
    return [tuple(cell.strip() for cell in row.strip("|").split(" | ")) for row in rows]


def code_paths():
    """Return the paths of code that the page names."""
    return re.findall(r"`([\w./-]+\.(?:py|yaml|json|txt|c|sh))`", text())


def files_at(path):
    """Return the files of the repository that *path* on the page can be."""
    return [top / path for top in (ROOT, *(ROOT / package for package in PACKAGES)) if (top / path).is_file()]
