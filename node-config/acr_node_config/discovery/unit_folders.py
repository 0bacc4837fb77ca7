"""Finds a unit's file and drop-ins in systemd's folders, as its unit-file.c does: aliases, masks, precedence."""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from acr_node_config.hostfs.host_reader import HostReader
    from acr_node_config.model.facts import HostFile

FOLDERS = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
)
"""Where units are, what overrides first."""
SUFFIX = ".service"
_MOST_ALIASES = 8


@dataclass(frozen=True, slots=True)
class UnitFiles:
    """A unit with the contents of its file and of its drop-ins in order.

    *name* is "" for one with aliases: its files are parsed by the name that it is first loaded by, whichever that is.
    """

    name: str
    file: HostFile
    texts: tuple[bytes, ...]


def find(tree: HostReader, name: str, *, without: str = "") -> UnitFiles | None:
    """Return the files of the unit *name*, but for drop-ins called *without*; None if it has none, or is masked."""
    links = _links(tree)
    own = _resolved(links, name)
    path = links.get(own) or links.get(template_of(own))
    file = tree.read(path) if path else None
    if file is None or not file.content:  # /dev/null or an empty file: masked
        return None
    names = dict.fromkeys(_instance(alias, own) for alias in links)
    aliases = [alias for alias in names if alias != own and _resolved(links, alias) == own]
    drop_ins = [path for path in _drop_ins(tree, [own, *aliases]) if path.rpartition("/")[2] != without]
    contents = [content for drop_in in drop_ins if (content := tree.read(drop_in))]
    return UnitFiles("" if aliases else own, file, (file.content, *(content.content for content in contents)))


def _links(tree: HostReader) -> dict[str, str]:
    """Return what each name of a service leads to: a path, or for an alias another name; of two the first folder's."""
    links: dict[str, str] = {}
    for folder in FOLDERS:
        for name in tree.listed(folder):
            if name.endswith(SUFFIX) and name not in links:
                links[name] = _target(tree, folder, name)
    return links


def _target(tree: HostReader, folder: str, name: str) -> str:
    path = f"{folder}/{name}"
    target = os.path.normpath(os.path.join(folder, tree.link(path) or name))
    parent, _, other = target.rpartition("/")
    return other if parent in FOLDERS and other != name else path


def _resolved(links: dict[str, str], name: str) -> str:
    """Return the name that *name* is an alias of, or *name*."""
    for _ in range(_MOST_ALIASES):
        target = links.get(name) or links.get(template_of(name), "")
        if not target or target.startswith("/"):
            break
        name = _instance(target, name)
    return name


def template_of(name: str) -> str:
    """Return the template of the instance *name*, "" for a unit that is none.

    >>> template_of("kubelet@a.service"), template_of("kubelet.service"), template_of("kubelet@.service")
    ('kubelet@.service', '', '')
    """
    prefix, at, instance = name.removesuffix(SUFFIX).partition("@")
    return f"{prefix}@{SUFFIX}" if at and instance else ""


def _instance(name: str, like: str) -> str:
    """Return the instance of the template *name* that *like* is one of, or *name* if it is no template."""
    instance = like.removesuffix(SUFFIX).partition("@")[2]
    return name.replace(f"@{SUFFIX}", f"@{instance}{SUFFIX}") if instance else name


def _drop_ins(tree: HostReader, names: list[str]) -> list[str]:
    """Return the paths of the drop-ins of a unit with these *names*, as they are read: by file name.

    Of two of one name, that of the first folder counts, also where it is a mask.
    """
    folders = [f"{folder}/{part}.d" for name in names for folder in FOLDERS for part in _parts(name)]
    folders += [f"{folder}/{SUFFIX[1:]}.d" for folder in FOLDERS]
    found: dict[str, str] = {}
    for folder in dict.fromkeys(folders):
        for file in tree.listed(folder):
            path = f"{folder}/{file}"
            is_drop_in = file.endswith(".conf") and not file.startswith(".")
            if is_drop_in and file not in found and (tree.link(path) or not tree.is_folder(path)):
                found[file] = path
    return [found[file] for file in sorted(found)]


def _parts(name: str) -> Iterator[str]:
    """Yield the names by which a unit *name* has drop-ins: its own, its template's, and those of its prefixes.

    >>> list(dict.fromkeys(_parts("a-b@c.service")))
    ['a-b@c.service', 'a-b@.service', 'a-@.service', 'a-@c.service']
    """
    yield name
    template = template_of(name)
    if template:
        yield from _parts(template)
    prefix, at, instance = name.removesuffix(SUFFIX).partition("@")
    shorter = prefix.removesuffix("-").rpartition("-")[0]
    if shorter:
        yield from _parts(f"{shorter}-{at}{instance}{SUFFIX}")
