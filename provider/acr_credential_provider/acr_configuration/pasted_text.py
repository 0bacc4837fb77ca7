"""What stands around a pasted ConfigMap: other objects, a fence of Markdown, a command, what kubectl writes.

Lines that are not the ConfigMap's become blank, so that line numbers stay.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.remedy import Remedy

from .keys import is_key
from .located_yaml import UnreadableError
from .yaml_repair import Change

if TYPE_CHECKING:
    from .conversion import Conversion

NAME = "acr-configuration"
_SHOW = Remedy("ConfigMapExpected", f"Give the ConfigMap itself: kubectl get configmap {NAME} -n kube-system -o yaml.")
_OTHER_TEXTS = (  # pattern of a line, which lines are looked at (None: all), problem
    (re.compile(r"(?:[$#] ?)?(?:kubectl|oc|helm|cat|aliyun)\s.*"), 1, "is a command, not the ConfigMap"),
    (re.compile(r"Name:\s{2,}\S+"), 1, "is the output of kubectl describe"),
    (
        re.compile(r"\s*(?:\"[\w-]+\"|\w+)\s+=\s+(?:[\"\[{]|jsonencode|yamlencode).*|(?:resource|module)\s+\".*\{"),
        None,
        "is the text of Terraform, not what it makes",
    ),
)
_SEPARATOR = re.compile(r"(?:---|\.\.\.)(?P<rest>\s.*)?|%YAML\s.*")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_FENCE = re.compile(r"(?:```|~~~)\s*\w*")
_KIND = re.compile(r"[\"']?kind[\"']?\s*:\s*[\"']?(\w+).*")
_NAMED = re.compile(rf"\bname[\"']?\s*:\s*[\"']?{NAME}\b")
_TOP_KEY = re.compile(r"^\s{0,8}[\"']?([\w-]+)[\"']?\s*:", re.MULTILINE)


def config_map_in(text: str, result: Conversion) -> str:
    """Return *text* without what stands around the ConfigMap; *result* gets the changes.

    Raises `UnreadableError` if there is no ConfigMap in it, or more than one.
    """
    if "\n" not in text.strip() and _BREAK.search(text):
        text = _BREAK.sub("\n", text)
        result.changes.append(Change(1, "line breaks of HTML were read as line breaks"))
    lines = text.split("\n")
    without_fences = ["" if _FENCE.fullmatch(line.strip()) else line for line in lines]
    first = next((number for number, line in enumerate(lines, 1) if line != without_fences[number - 1]), 0)
    if first:
        result.changes.append(Change(first, "the fence of Markdown was left out"))
    lines = without_fences
    _refuse_other_texts(lines)
    return "\n".join(_one_document(lines, result))


def _refuse_other_texts(lines: list[str]) -> None:
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    for pattern, count, problem in _OTHER_TEXTS:
        looked_at = lines[first : first + count] if count else lines
        if any(pattern.fullmatch(line.rstrip()) for line in looked_at):
            raise UnreadableError(ConfigProblem(first + 1, "", problem, _SHOW))


def _one_document(lines: list[str], result: Conversion) -> list[str]:
    """Return *lines* with blank ones for all documents but the ConfigMap's, and for the signs between them."""
    documents: list[list[int]] = [[]]  # numbers of the lines
    for number, line in enumerate(lines):
        if separator := _SEPARATOR.fullmatch(line.rstrip()):
            documents.append([])
            rest = (separator["rest"] or "").strip()
            if rest and not rest.startswith("#"):  # the document starts on the same line
                lines[number] = rest
                documents[-1].append(number)
        elif line.strip() and not line.lstrip().startswith("#"):
            documents[-1].append(number)
    documents = [numbers for numbers in documents if numbers] or [[]]
    chosen = documents[0]
    if len(documents) > 1:
        texts = ["\n".join(lines[number] for number in numbers) for numbers in documents]
        meant = [
            numbers for numbers, text in zip(documents, texts, strict=True) if _NAMED.search(text) and _is_map(text)
        ]
        meant = meant or [numbers for numbers, text in zip(documents, texts, strict=True) if _may_be_it(text)]
        starts = [numbers[0] + 1 for numbers in meant]
        chosen = meant[only_one(starts, f"{len(documents)} documents", result)]
    inside = range(chosen[0], chosen[-1] + 1) if chosen else range(0)
    return [line if number in inside else "" for number, line in enumerate(lines)]


def only_one(found: list[int], of: str, result: Conversion) -> int:
    """Return 0, the position of the one ConfigMap in *found* (their lines); *of* counts all there was to choose from.

    Raises `UnreadableError` for none or several.
    """
    if not found:
        raise UnreadableError(ConfigProblem(1, "", f"holds {of}, and none is the ConfigMap {NAME}", _SHOW))
    if len(found) > 1:
        remedy = "Give one ConfigMap: which one is in force, only the cluster knows."
        raise UnreadableError(
            ConfigProblem(found[1], "", f"is the second {NAME} in this text", Remedy("ConfigMapExpected", remedy))
        )
    result.changes.append(Change(found[0], f"of {of}, the ConfigMap {NAME} was read"))
    return 0


def _is_map(text: str) -> bool:
    """True if the document *text* is of the kind ConfigMap, or of none; a kind further inside is another object's."""
    lines = text.split("\n")
    column = len(lines[0]) - len(lines[0].lstrip())
    kind = next((match for line in lines if (match := _KIND.fullmatch(line[column:].rstrip()))), None)
    return kind is None or kind[1] in ("ConfigMap", "List")


def _may_be_it(text: str) -> bool:
    return _is_map(text) and any(is_key(key) for key in _TOP_KEY.findall(text))
