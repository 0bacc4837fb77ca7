"""The one judgement of settings: a text goes in; out come usable entries, problems, changes and notes.

Every command and program that reads settings uses it: the plugin, the docker credential helper, explain, doctor,
`settings`, render, the controller; the agent runs `settings validate`. Native settings and an acr-configuration become
the same draft. A part that is wrong costs that part alone: an entry loses its hosts to no other entry, a key has its
default. What says to whom credentials are sent, or which settings these are, has no default: then nothing is usable.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from acr_credential_provider import acr_configuration
from acr_credential_provider.acr_configuration.yaml_repair import Change
from acr_credential_provider.fastpath.plain_text import key_name
from acr_credential_provider.model.config_problem import ConfigProblem
from acr_credential_provider.model.regions import about_region
from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.yaml_pieces import one_document

from .contradictions import conflicts, contradictions, merged, wrong_place
from .error_messages import message_of
from .models import ProviderSettingsModel, RegistryModel
from .strict_yaml import REGISTRIES, line_of, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from acr_credential_provider.acr_configuration import Conversion, Role
    from acr_credential_provider.acr_configuration.conversion import SourceLocation

    from .cluster_origin import ClusterJudge, ClusterOrigin
    from .runtime import ProviderSettings

    Locate = Callable[[Sequence[str | int]], tuple[str, int]]
    """Returns the name and line of the field that steps lead to."""

Place = Literal["node", "controller", "laptop"]
_HAVE_DEFAULTS = frozenset({"maxCacheDuration", "log", "pullSecrets"})
"""Keys of native settings that have their default if they are wrong. The others say to whom credentials are sent."""
_KEYS = frozenset(each.alias for each in ProviderSettingsModel.model_fields.values())
NO_REGISTRY = ("names no registry", Remedy("SettingsFieldMissing", "Add an entry for each instance."))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a text means for one place. *settings* are None if nothing is usable; then there are problems.

    *changes* are what was read in another way than it is written. Of an acr-configuration, *document* are its usable
    entries as native settings, and *key_files* (path to content) the files that they expect.
    """

    settings: ProviderSettings | None
    problems: tuple[ConfigProblem, ...] = ()
    changes: tuple[Change, ...] = ()
    notes: tuple[Change, ...] = ()
    document: dict[str, Any] | None = field(default=None, repr=False)
    key_files: Mapping[str, str] = field(default_factory=dict, repr=False)


def judge(
    text: str,
    *,
    place: Place = "node",
    origin: ClusterOrigin | None = None,
    role: Role = "nodeRole",
    keys_directory: str = "",
) -> Verdict:
    """Judge *text* for *place*. *origin* limits what a text from a cluster may name; None is for a file of root's own.

    Of an acr-configuration, access keys become files below *keys_directory*, and *role* is the identity kind of entries
    that name none.
    """
    if acr_configuration.is_one(text):
        target: Literal["node", "controller"] = "controller" if place == "controller" else "node"
        conversion = acr_configuration.convert(text, place=target, keys_directory=keys_directory, role=role)
        return judge_conversion(conversion, origin)
    chosen = one_document(text.removeprefix("\ufeff"), acr_configuration.is_native)
    document = parse(chosen) if isinstance(chosen, str) else chosen
    if isinstance(document, ConfigProblem):
        return Verdict(None, (document,))
    root, draft = document.root, _Draft(place=place, limits=origin.judge() if origin else None)

    def locate(steps: Sequence[str | int]) -> tuple[str, int]:
        names = (f"[{step}]" if isinstance(step, int) else f".{key_name(step)}" for step in steps)
        return "".join(names).lstrip("."), line_of(root, list(steps))

    for index, entry in enumerate(document.entries or ()):
        place_of = _below(locate, REGISTRIES, index)
        draft.add(_Entry(f"{REGISTRIES}[{index}]", entry.value, place_of), entry.problem, entry.text)
    for name, member in document.members.items():
        if member.problem is None:
            draft.shared[name] = member.value
        else:
            draft.broken_key(name, member.problem)
    if document.entries == []:
        draft.problems.append(
            ConfigProblem(
                locate([REGISTRIES])[1], REGISTRIES, "has no item", Remedy("SettingsFieldMissing", "Add at least one.")
            )
        )
    if document.entries is None and REGISTRIES not in document.members:
        draft.problems.append(
            ConfigProblem(
                1,
                REGISTRIES,
                "is missing",
                Remedy("SettingsFieldMissing", "Add registries: with an entry for each instance."),
            )
        )
    verdict = draft.verdict(locate)
    return replace(verdict, problems=tuple(sorted(verdict.problems, key=lambda problem: problem.line)))


def judge_conversion(conversion: Conversion, origin: ClusterOrigin | None = None) -> Verdict:
    """Judge an acr-configuration that was converted for its place; *origin* as in `judge`."""
    limits = origin.judge(conversion.secrets) if origin else None
    draft = _Draft(place="laptop", limits=limits, problems=list(conversion.problems))
    draft.entry_problems = list(conversion.entry_problems)
    draft.hosts |= conversion.quarantined_hosts
    draft.is_personal |= conversion.personal_quarantined
    document = conversion.document
    if document is None:
        return Verdict(None, tuple(conversion.problems), tuple(conversion.changes), tuple(conversion.notes))
    for raw, source in zip(document.get(REGISTRIES, ()), conversion.origins, strict=True):
        draft.add(_Entry(source.name, raw, _in_source(source)))
    draft.shared |= {key: value for key, value in document.items() if key != REGISTRIES}
    verdict = draft.verdict(lambda _steps: ("", 1))
    kept = [entry.raw for entry in draft.entries if entry.model is not None]
    used = {path for raw in kept for path in raw["identity"].values()}
    return Verdict(
        verdict.settings,
        verdict.problems,
        tuple(conversion.changes),
        (*conversion.notes, *verdict.notes),
        {**document, REGISTRIES: kept} if verdict.settings is not None else None,
        {path: secret for path, secret in conversion.secrets.items() if path in used},
    )


def _below(locate: Locate, *above: str | int) -> Locate:
    return lambda steps: locate([*above, *steps])


def _in_source(source: SourceLocation) -> Locate:
    return lambda steps: source.locate(str(steps[0]) if steps else "")


@dataclass(slots=True)
class _Entry:
    """An entry: its *name*, its value as written (*raw*), and where a field of it stands (*locate*)."""

    name: str
    raw: Any
    locate: Locate
    model: RegistryModel | None = None


@dataclass(slots=True)
class _Draft:
    """What a text says, before it is judged for *place*."""

    place: Place
    limits: ClusterJudge | None
    problems: list[ConfigProblem] = field(default_factory=list)
    entry_problems: list[ConfigProblem] = field(default_factory=list)
    notes: list[Change] = field(default_factory=list)
    entries: list[_Entry] = field(default_factory=list)
    shared: dict[str, Any] = field(default_factory=dict)
    hosts: set[str] = field(default_factory=set)
    is_personal: bool = False
    is_closed: bool = False
    unreadable: set[str] = field(default_factory=set)

    def add(self, entry: _Entry, problem: ConfigProblem | None = None, text: str = "") -> None:
        """Add *entry*; with a *problem* it cannot be read, and *text* is all that is known of it."""
        self.entries.append(entry)
        if problem is not None:
            self._refuse(entry, [ConfigProblem(problem.line, entry.name, problem.problem, problem.remedy)], text)
            return
        entry.model, errors = _checked(entry.raw, self.limits)
        self._refuse(entry, [_located(entry, *error) for error in errors])
        if entry.model is not None:
            self._check_place(entry, entry.model)

    def _check_place(self, entry: _Entry, model: RegistryModel) -> None:
        found = [_located(entry, error.steps, str(error), error.remedy) for error in wrong_place(self.place, model)]
        if self.place == "node":
            # The node may have what it lacks as a rule: variables of the kubelet, a file. If not, the pull says so.
            self.problems += found
        else:
            self._refuse(entry, found)

    def broken_key(self, name: str, problem: ConfigProblem) -> None:
        """Take note of a key that cannot be read."""
        self.unreadable.add(name)
        shown = "" if name.startswith("?") else key_name(name)
        told = ConfigProblem(problem.line, shown, problem.problem, problem.remedy)
        self._of_key(name, told, is_known=name in _KEYS)

    def verdict(self, locate: Locate) -> Verdict:
        """Return the verdict; *locate* finds a field that is shared by the entries."""
        self._resolve_conflicts()
        kept = [entry for entry in self.entries if entry.model is not None]
        for entry in kept:
            self._note_region(entry)
        shared = self._checked_shared(tuple(entry.model for entry in kept), locate)
        if not kept and not self.problems:
            self.problems.append(ConfigProblem(1, "", *NO_REGISTRY))
        problems = tuple(dict.fromkeys(self.problems))
        notes = tuple(dict.fromkeys(self.notes))
        if self.is_closed or not kept or shared is None:
            return Verdict(None, problems, notes=notes)
        settings = shared.to_runtime()
        return Verdict(
            settings._replace(
                registries=tuple(
                    registry._replace(source=entry.name)
                    for registry, entry in zip(settings.registries, kept, strict=True)
                ),
                skipped=tuple((str(problem), problem.remedy) for problem in self.entry_problems),
                quarantined_hosts=tuple(sorted(self.hosts)) if self.entry_problems else (),
                personal_quarantined=bool(self.entry_problems) and self.is_personal,
            ),
            problems,
            notes=notes,
        )

    def _refuse(self, entry: _Entry, problems: list[ConfigProblem], text: str = "") -> None:
        """Take *entry* out if there are *problems* with it. No other entry may answer for its hosts."""
        if not problems:
            return
        self.problems += problems
        self.entry_problems += problems
        entry.model = None
        hosts, is_personal = acr_configuration.hosts_in([text, *_texts_in(entry.raw)])
        self.hosts |= hosts
        self.is_personal |= is_personal

    def _resolve_conflicts(self) -> None:
        for conflict in list(conflicts([entry.model for entry in self.entries])):
            entry, other = self.entries[conflict.position], self.entries[conflict.earlier]
            if conflict.error is not None:
                error = conflict.error
                self._refuse(entry, [_located(entry, error.steps, str(error), error.remedy)])
            elif entry.model is not None and other.model is not None:
                other.model, entry.model = merged(other.model, entry.model), None
                if isinstance(other.raw, dict) and other.model.domains:
                    other.raw = {**other.raw, "domains": list(other.model.domains)}
                what = f"{entry.name} repeats {other.name}: both are one entry"
                self.notes.append(Change(entry.locate(())[1], what))

    def _note_region(self, entry: _Entry) -> None:
        region = entry.model.region if entry.model is not None else None
        if region and (about := about_region(region)):
            name, line = entry.locate(("region",))
            self.notes.append(Change(line, f"{name} {about}"))

    def _checked_shared(self, models: tuple[RegistryModel | None, ...], locate: Locate) -> ProviderSettingsModel | None:
        """Return the settings with these *models*; keys that are wrong have their defaults."""
        shared = dict(self.shared)
        registries = shared.pop(REGISTRIES, models)
        for _ in range(2):
            try:
                return ProviderSettingsModel.model_validate({**shared, REGISTRIES: registries}, context=self.limits)
            except ValidationError as error:
                errors = error.errors(include_input=False, include_url=False)
            for each in errors:
                name = str(each["loc"][0])
                shared.pop(name, None)
                (problem, remedy), steps = message_of(each, ProviderSettingsModel, self.shared)
                is_said = name in self.unreadable and each["type"] == "missing"
                if is_said or (name == REGISTRIES and registries is models):  # none is left, which is said of each
                    continue
                shown, line = locate(steps)
                # A key that is not known costs that key alone, but within a known one it may be any of its fields.
                is_known = each["type"] != "extra_forbidden" or len(each["loc"]) > 1
                self._of_key(name, ConfigProblem(line, shown, problem, remedy), is_known=is_known)
        return None

    def _of_key(self, name: str, problem: ConfigProblem, *, is_known: bool = True) -> None:
        if name == "pullSecrets" and self.place != "controller":
            what = f"{problem.field} {problem.problem}: it is for the controller. {problem.remedy}"
            self.notes.append(Change(problem.line, what))
            return
        self.problems.append(problem)
        is_optional = name in _HAVE_DEFAULTS - ({"pullSecrets"} if self.place == "controller" else set())
        self.is_closed |= is_known and not is_optional


def _checked(
    raw: Any, limits: ClusterJudge | None
) -> tuple[RegistryModel | None, list[tuple[tuple[str | int, ...], str, Remedy]]]:
    """Return the registry in *raw*, and all errors in it: steps, problem and remedy. With errors it may be None."""
    found = []
    wrong: set[str] = set()
    try:
        model = RegistryModel.model_validate(raw, context=limits)
    except ValidationError as error:
        for each in error.errors(include_input=False, include_url=False):
            (problem, remedy), steps = message_of(each, RegistryModel, raw)
            found.append((tuple(steps), problem, remedy))
            wrong |= {str(step) for step in each["loc"][:1]}
        partial = _without(raw, wrong, limits)
        if partial is None:
            return None, found
        model = partial
    found += [((*error.steps,), str(error), error.remedy) for error in contradictions(model, wrong, limits)]
    return (None if wrong else model), found


def _without(raw: Any, wrong: set[str], limits: ClusterJudge | None) -> RegistryModel | None:
    """Return the registry in *raw* as it were without the fields that are *wrong*; None if it cannot be told."""
    if not isinstance(raw, dict):
        return None
    rest = {key: value for key, value in raw.items() if key not in wrong}
    try:
        return RegistryModel.model_validate({"identity": {"kind": "nodeRole"}, **rest}, context=limits)
    except ValidationError:
        return None


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (text for each in value.values() for text in _texts_in(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in _texts_in(each))
    elif isinstance(value, str):
        yield value


def _located(entry: _Entry, steps: Sequence[str | int], problem: str, remedy: Remedy) -> ConfigProblem:
    name, line = entry.locate(steps)
    return ConfigProblem(line, name, problem, remedy)
