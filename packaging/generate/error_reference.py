"""Prints docs/remedies.md: every error of the code with its remedy, by its code.

It reads the source, so there is no list of errors to maintain: each place that fills a parameter or field called
``remedy``. Constants, tables, f-strings and local names are followed to the texts behind them; what is only handed on
(``remedy=error.remedy``) is listed where it is written. What a code means stands in ``remedy_codes.txt``.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from acr_credential_provider.model import error_codes
from acr_credential_provider.model.remedy import Remedy, code_of

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = ("provider/acr_credential_provider", "node-config/acr_node_config")
LISTED = Path(__file__).with_name("remedy_codes.txt")
SIGNS = Path(__file__).with_name("signs.toml")
SIGNS_HEAD = """## What you see

Search this page for a word of the message: of the kubelet, of containerd, CRI-O or docker, an HTTP status, the reason
of an Event. For a code of Alibaba Cloud, such as SignatureDoesNotMatch, see [below](#error-codes-of-alibaba-cloud).

| what you see | who says it | codes | what to do |
|---|---|---|---|"""
TABLE = "model/error_codes/lookup.py"
"""What this says of Alibaba Cloud's codes is taken from its table, not from its source."""
CODES_HEAD = """## Error codes of Alibaba Cloud

What `(CODE, HTTP STATUS, request id ...)` in an error of ACR, STS or RAM means. Where a call knows better, as
AssumeRole does of its role, the error has that remedy in place of this one. A code that is not listed is classified by
its words.

| code | cause | look up | what to do | console |
|---|---|---|---|---|"""
HEAD = """# Remedies

Every error that the program tells of ends with a code, such as `[SettingsUnreadable]`: in the kubelet's log and Events,
in `doctor`, `explain` and status, in JSON as `code`. Here is what each code means, the errors that have it, and what to
do about them. Codes stay from version to version; sentences may change. Words in capitals stand for what differs. `make
remedies` writes this page from the code.
"""


@dataclass
class Module:
    """What a source file says at its top."""

    path: str
    text: str
    tree: ast.Module
    values: dict[str, ast.expr] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where an expression stands: the function that it is in, or the module, and the statement."""

    scope: ast.AST
    line: int
    indent: int

    def assigned(self, name: str) -> list[ast.expr]:
        """Return what *name* may hold here: given last in its block, or in branches."""
        before: list[ast.Assign] = []
        for block in blocks(self.scope):
            leaves = isinstance(block[-1], ast.Raise | ast.Return | ast.Continue | ast.Break)
            for node in block:
                is_it = isinstance(node, ast.Assign) and any(name in given_names(target) for target in node.targets)
                # From a block that leaves, what it gave reaches no further than its own end.
                if is_it and node.lineno <= self.line and (not leaves or self.line <= (block[-1].end_lineno or 0)):
                    before.append(node)
        before.sort(key=lambda node: node.lineno)
        same = [node for node in before if node.col_offset == self.indent]
        branches = [node for node in before if node.col_offset > self.indent]
        return [of_a_limit(node.value) for node in (same[-1:] + branches) or before[-1:]]


class Reader:
    """Follows expressions to the texts that they can be."""

    def __init__(self, modules: list[Module]) -> None:
        self.modules = modules
        self.constants: dict[str, list[tuple[Module, ast.expr]]] = {}
        self.takers: dict[str, int] = {}
        for module in modules:
            for name, value in module.values.items():
                self.constants.setdefault(name, []).append((module, value))
            for node in ast.walk(module.tree):
                self._add_taker(node)

    def _add_taker(self, node: ast.AST) -> None:
        """Remember a function or class with a positional parameter for the remedy, and the position."""
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            offset = 1 if names[:1] in (["self"], ["cls"]) else 0
            if "remedy" in names and node.name != "__init__":
                self.takers[node.name] = names.index("remedy") - offset
        elif isinstance(node, ast.ClassDef):
            fields = {item.target.id: ast.unparse(item.annotation) for item in node.body
                      if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)}  # fmt: skip
            if fields.get("remedy") == "Remedy":
                self.takers[node.name] = list(fields).index("remedy")

    def pairs(self, module: Module) -> Iterator[tuple[str, str]]:
        """Yield (error, remedy) for each place in *module* that gives one."""
        for place, call in calls(module.tree):
            # One hands on the remedy, or that of a limit, which is in its own table; one quotes what was typed.
            if called(call) in ("explained", "CommandLineError"):
                continue
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            written = next((at for at, argument in enumerate(call.args) if is_remedy(argument)), len(call.args))
            position = self.takers.get(called(call), written)
            is_spread = any(isinstance(argument, ast.Starred) for argument in call.args)
            if "remedy" not in given and (is_spread or position >= len(call.args)):
                continue
            remedy = given.get("remedy") or call.args[position]
            before = call.args[: position if "remedy" not in given else 1]
            problem = given.get("problem") or (before[-1] if before else None)
            errors = self.texts(problem, module, place) if problem is not None else []
            remedies = self.texts(remedy, module, place)
            if isinstance(problem, ast.Name) and len(errors) == len(remedies):
                yield from zip(errors, remedies, strict=True)  # given together, branch by branch
            else:
                yield from ((error, text) for text in remedies for error in errors or [""])

    def refusals(self, module: Module) -> Iterator[tuple[str, str]]:
        """Yield (error, remedy) for each code of a refusal: from tables and functions called ..._remedy."""
        for node in ast.walk(module.tree):
            is_function = isinstance(node, ast.FunctionDef) and node.name.endswith("_remedy")
            is_table = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("_REMEDIES")
            if not (is_function or is_table):
                continue
            place = Place(node if is_function else module.tree, sys.maxsize, 0)
            for code, remedy in rows_of(node):
                for text in self.texts(remedy, module, place):
                    yield f"... was refused ({code}...)" if code else "", text

    def written(self, module: Module) -> Iterator[str]:
        """Yield each remedy in *module*, wherever it stands."""
        for place, call in calls(module.tree):
            if is_remedy(call):
                yield from self.texts(call, module, place)

    def texts(  # noqa: C901, PLR0911 - a line or two for each form of an expression
        self, node: ast.expr, module: Module, place: Place, depth: int = 0
    ) -> list[str]:
        """Return the texts that *node* can be; none if it is only handed on from elsewhere."""
        if depth > 8:
            return []
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) and node.value.strip() else []
        if isinstance(node, ast.JoinedStr):
            return self._joined(node.values, module, place, depth)
        if isinstance(node, ast.FormattedValue):
            texts = self.texts(node.value, module, place, depth + 1) if is_constant(node.value) else []
            return texts if 0 < len(texts) <= 4 else [placeholder(node.value)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._joined([node.left, node.right], module, place, depth)
        if isinstance(node, ast.IfExp):
            return [text for part in (node.body, node.orelse) for text in self.texts(part, module, place, depth + 1)]
        if isinstance(node, ast.BoolOp):
            return [text for part in node.values for text in self.texts(part, module, place, depth + 1)]
        if isinstance(node, ast.Dict):
            return [text for part in node.values for text in self.texts(part, module, place, depth + 1)]
        if is_remedy(node):
            code, text = node.args
            texts = self.texts(text, module, place, depth + 1)
            return [Remedy(each, text) for each in self.texts(code, module, place, depth + 1) for text in texts]
        if isinstance(node, ast.Name):
            return self._named(node.id, module, place, depth)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            tables = (node.func.value, *node.args[1:])
            return [text for part in tables for text in self.texts(part, module, place, depth + 1)]
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict | ast.Name):
            return self.texts(node.value, module, place, depth + 1)
        return []  # an attribute or a call: listed where it comes from

    def _joined(self, nodes: list[ast.expr], module: Module, place: Place, depth: int) -> list[str]:
        whole = [""]
        for node in nodes:
            texts = self.texts(node, module, place, depth + 1) or [placeholder(node)]
            whole = [start + text for start in whole for text in texts[:6]]
        return whole

    def _named(self, name: str, module: Module, place: Place, depth: int) -> list[str]:
        """Return the texts that *name* stands for: given nearby, at a module's top, or in another."""
        local = place.assigned(name) if not isinstance(place.scope, ast.Module) else []
        behind = [(module, value) for value in local]
        if not behind and name in module.values:
            behind = [(module, module.values[name])]
        elif not behind and name in module.imported:
            file = f"/{module.imported[name]}.py"
            behind = [(owner, value) for owner, value in self.constants.get(name, []) if owner.path.endswith(file)]
        texts = []
        for owner, value in behind:
            value_place = place if local else Place(owner.tree, 0, 0)
            texts += self.texts(value, owner, value_place, depth + 1)
        return texts


def given_names(target: ast.expr) -> list[str]:
    """Return the names that an assignment to *target* gives a value."""
    return [ast.unparse(item) for item in target.elts] if isinstance(target, ast.Tuple) else [ast.unparse(target)]


def of_a_limit(value: ast.expr) -> ast.expr:
    """Return the remedy in ``explained(error, remedy=...)``, and any other *value* as it is."""
    if isinstance(value, ast.Call) and called(value) == "explained":
        return next(keyword.value for keyword in value.keywords if keyword.arg == "remedy")
    return value


def blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Yield every block of statements in *tree*."""
    for node in ast.walk(tree):
        for part in ("body", "orelse", "finalbody"):
            block = getattr(node, part, None)
            if isinstance(block, list) and block:
                yield block


def rows_of(table: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield (code, remedy) of each row in *table*, and ("", remedy) for all other codes."""
    for node in ast.walk(table):
        pairs: list[tuple[ast.expr | None, ast.expr]] = []
        if isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:
            pairs = [(node.elts[0], node.elts[1])]
        for key, value in pairs:
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and isinstance(value, ast.Call | ast.Name):
                yield key.value, value
        if isinstance(node, ast.Return) and node.value is not None and is_remedy(node.value):
            yield "", node.value


def is_remedy(node: ast.AST) -> TypeGuard[ast.Call]:
    """True if *node* is ``Remedy(code, text)``."""
    return isinstance(node, ast.Call) and called(node) == "Remedy" and len(node.args) == 2


def is_constant(node: ast.expr) -> bool:
    """True if a part of a text is the name of a constant, in capitals."""
    return isinstance(node, ast.Name) and node.id.isupper()


def placeholder(node: ast.expr) -> str:
    """Return the word that stands for the value of *node*: the last name in it, in capitals."""
    names = re.findall(r"[A-Za-z_][A-Za-z_0-9]*", re.sub(r"'[^']*'|\([^()]*\)", "", ast.unparse(node)))
    useful = [
        name for name in names if name not in {"self", "f", "str", "join", "if", "else", "for", "in", "or", "name"}
    ]
    return (useful or names or ["..."])[-1].strip("_").upper()


def calls(tree: ast.Module) -> Iterator[tuple[Place, ast.Call]]:
    """Yield every call in *tree* in the order of its lines, with its place."""
    places: list[tuple[Place, ast.Call]] = []

    def visit(node: ast.AST, place: Place) -> None:
        if isinstance(node, ast.stmt):
            place = Place(place.scope, node.lineno, node.col_offset)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            place = Place(node, node.lineno, node.col_offset)
        if isinstance(node, ast.Call):
            places.append((place, node))
        for child in ast.iter_child_nodes(node):
            visit(child, place)

    visit(tree, Place(tree, 0, 0))
    yield from sorted(places, key=lambda item: (item[1].lineno, item[1].col_offset))


def called(call: ast.Call) -> str:
    """Return the last name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def read(root: Path) -> list[Module]:
    """Return all modules below *root*."""
    modules = []
    for file in sorted(file for folder in ROOTS for file in (root / folder).rglob("*.py")):
        text = file.read_text()
        module = Module(str(file.relative_to(root)), text, ast.parse(text))
        for node in module.tree.body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                module.values[node.targets[0].id] = node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                module.values[node.target.id] = node.value
            elif isinstance(node, ast.ImportFrom) and node.module:
                module.imported |= {alias.asname or alias.name: node.module.rpartition(".")[2] for alias in node.names}
        modules.append(module)
    return modules


def found(root: Path = REPOSITORY) -> dict[str, dict[tuple[str, str], None]]:
    """Return (error, remedy) of each place in the source below *root*, by the remedy's code; "" has none."""
    modules = read(root)
    reader = Reader(modules)
    rows: dict[str, dict[tuple[str, str], None]] = {}
    for module in modules:
        if module.path.endswith(TABLE):
            continue
        told = [*reader.pairs(module), *reader.refusals(module)]
        shown = {remedy for _, remedy in told}
        told += [("", remedy) for remedy in reader.written(module) if remedy not in shown]
        for error, remedy in told:
            rows.setdefault(code_of(remedy), {})[cell(error), cell(remedy)] = None
    for (code, remedy), refusals in refused().items():
        rows.setdefault(code, {})[f"... was refused ({', '.join(refusals)})", cell(remedy)] = None
    return rows


def refused() -> dict[tuple[str, str], list[str]]:
    """Return the codes of Alibaba Cloud by our code and what to do."""
    rows = [*error_codes.CODES]
    rows += [error_codes.ErrorCode("CODE", kind, "", *words) for kind, words in error_codes.KINDS.items()]
    by_remedy: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        by_remedy.setdefault((row.advice.code, row.advice), []).append(row.code)
    return by_remedy


def listed() -> dict[str, dict[str, str]]:
    """Return the meaning of each code in `LISTED`, by chapter."""
    chapters: dict[str, dict[str, str]] = {}
    for line in LISTED.read_text().splitlines():
        if line.startswith("## "):
            codes_of_chapter = chapters[line.removeprefix("## ")] = {}
        elif line and not line.startswith("#"):
            code, meaning = line.split(maxsplit=1)
            codes_of_chapter[code] = meaning
    return chapters


def page(root: Path = REPOSITORY) -> str:
    """Return the whole page."""
    rows = found(root)
    lines = [HEAD, *signs(), ""]
    for title, codes_of_chapter in listed().items():
        lines += [f"## {title}", ""]
        for code, meaning in codes_of_chapter.items():
            lines += [f"### {code}", "", f"{meaning[0].upper()}{meaning[1:]}.", ""]
            if code in rows:
                lines += ["| error | what to do |", "|---|---|"]
                lines += [f"| {error or '(differs)'} | {remedy} |" for error, remedy in sorted(rows[code])]
                lines.append("")
    return "\n".join([*lines, *cloud_codes(), ""])


def cloud_codes() -> list[str]:
    """Return the lines of the table of Alibaba Cloud's error codes."""
    rows = [[row.code, row.kind, row.cause, row.remedy, row.where] for row in error_codes.CODES]
    rows += [[f"other codes about {kind}", kind, "", *words] for kind, words in error_codes.KINDS.items()]
    return [
        CODES_HEAD,
        *(
            f"| {code} | {cause} | {link(error_codes.REMEDY_CODES[kind])} | {cell(remedy)} | {where} |"
            for code, kind, cause, remedy, where in rows
        ),
    ]


def signs() -> list[str]:
    """Return the lines of the table of what people see elsewhere."""
    rows = tomllib.loads(SIGNS.read_text())["sign"]
    return [
        SIGNS_HEAD,
        *(
            f"| {', '.join(f'`{text}`' for text in row['seen'])} | {row['by']} | {', '.join(map(link, row['codes']))} "
            f"| {row['todo']} |"
            for row in rows
        ),
    ]


def link(code: str) -> str:
    """Return *code* as a link to its paragraph."""
    return f"[{code}](#{code.lower()})"


def cell(text: str) -> str:
    """Return *text* as a cell of a table."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.stdout.write(page())
