"""Checks the stubs against the modules of a build, because a new SDK release may use what a stub leaves out."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Packages whose unused halves the stubs replace. Other code that imports a stub would call it.
SDK = ("Tea", "darabonba", "alibabacloud_")
# Imports requests in a function that puts truststore into requests; it is never called.
HARMLESS = {("truststore._api", "requests.adapters")}


def problems(shipped: Iterable[tuple[str, str]], stubs: Path, real: frozenset[str] = frozenset()) -> list[str]:
    """Return a sentence for each import of a stub that would not end well.

    *shipped* are the (dotted name, source file) of every pure Python module of the bundle, *real* the packages that
    no stub replaces in it. Unlike an import, this also sees the imports inside functions.
    """
    names = {
        module_name(file, stubs): defined_names(file)
        for file in stubs.rglob("*.py")
        if file.relative_to(stubs).parts[0] not in real
    }
    sentences = []
    for importer, file in shipped:
        if not file.endswith(".py") or importer in names:
            continue
        is_package = Path(file).name == "__init__.py"
        for module, name in imports(Path(file), importer, is_package=is_package):
            if module not in names or (importer, module) in HARMLESS:
                continue
            top = importer.partition(".")[0]
            if not top.startswith(SDK) and top != module.partition(".")[0]:
                sentences.append(f"{importer} imports {module}, which is only a stub in the frozen program")
            elif name and name not in names[module] and f"{module}.{name}" not in names:
                sentences.append(f"{importer} imports {name} from {module}, which the stub does not have")
    return sentences


def module_name(file: Path, root: Path) -> str:
    """Return the dotted name of *file* under *root*."""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def defined_names(file: Path) -> set[str]:
    """Return the names that the top level of *file* binds."""
    bound: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            bound.add(node.name)
        elif isinstance(node, ast.Assign):
            bound.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update(alias.asname or alias.name for alias in node.names)
    return bound


def imports(file: Path, importer: str, *, is_package: bool) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of every import in *file*, at any depth; the name is empty for ``import module``."""
    package = importer if is_package else importer.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*parents, *filter(None, [module])])
            for alias in node.names:
                yield (module, alias.name)
                yield (f"{module}.{alias.name}", "")  # `from package import module`
