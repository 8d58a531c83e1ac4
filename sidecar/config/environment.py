"""Environment variables over a settings file: ``SCOPEGATE__KEYS__REFRESH=30`` is ``keys.refresh``.

pydantic-settings reads the values; which variables may exist at all is checked here first, so that
a misspelt one is an error with its name and not silently without effect. A list is set as a whole,
in JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings.sources.utils import parse_env_vars

from sidecar.config.problem import Loc, Problem, field_name
from sidecar.config.settings import Settings
from sidecar.config.shape import annotation_at, items_of, members_of, model_in
from sidecar.nearest import nearest, unknown_name

DELIMITER: Final = "__"
FAMILY: Final = "SCOPEGATE_"
"""What starts like this is meant for scopegate, rightly spelt or not."""
PREFIX: Final = f"SCOPEGATE{DELIMITER}"

_NO_SETTINGS: Final = frozenset({"SCOPEGATE_OPA", "SCOPEGATE_SPIRE_SERVER"})
"""Set for this project's own tests."""
_OF_KUBERNETES: Final = re.compile(
    r"SCOPEGATE_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_.+)?)?)"
)
"""What Kubernetes sets in every Pod beside a Service named ``scopegate`` or ``scopegate-...``: a
Service that somebody adds may not keep a sidecar from starting."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the environment sets."""

    data: dict[str, Any]
    variables: Mapping[Loc, str]
    """The variable behind every place that the environment sets, also inside of JSON."""
    problems: tuple[Problem, ...]


def overrides_in(environ: Mapping[str, str]) -> Overrides:
    """The settings in ``environ``; a variable that cannot be one is a problem and left out."""
    variables: dict[Loc, str] = {}
    problems: list[Problem] = []
    for name in sorted(environ):
        if not name.upper().startswith(PREFIX):
            problems.extend(_misspelt(name))
            continue
        loc: Loc = tuple(name[len(PREFIX) :].lower().split(DELIMITER))
        problem = _problem_with(name, loc, environ[name])
        if problem is None:
            variables[loc] = name
        else:
            problems.append(Problem(name, None, field_name(loc), problem))
    data = _Environment({name: environ[name] for name in variables.values()})()
    for loc, name in tuple(variables.items()):
        variables.update(dict.fromkeys(_places_in(data, loc), name))
    return Overrides(data, variables, tuple(problems))


def variable_for(loc: Loc) -> str:
    """The variable that sets ``loc``: that of the whole list or mapping for what stands in one."""
    names: list[str] = []
    for end, part in enumerate(loc):
        if isinstance(part, int) or members_of(annotation_at(Settings, loc[:end])) is not None:
            break
        names.append(part.upper())
    return PREFIX + DELIMITER.join(names)


class _Described(Settings, BaseSettings):
    """The settings as pydantic-settings wants them described; never made."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=DELIMITER)


class _Environment(EnvSettingsSource):
    """pydantic-settings' own source, over a given environment instead of the process's."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(_Described)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return parse_env_vars({**self._environ})


def _misspelt(name: str) -> Iterator[Problem]:
    """A problem for what lacks the prefix, and would be without effect, but is meant for us."""
    if (
        not name.upper().startswith(FAMILY)
        or name in _NO_SETTINGS
        or _OF_KUBERNETES.fullmatch(name)
    ):
        return
    settings = {variable.replace(DELIMITER, "_"): variable for variable in _variables(Settings, ())}
    near = nearest(name.replace(DELIMITER, "_"), settings)
    hint = f"did you mean {settings[near]}?" if near else f"a setting's name starts with {PREFIX}"
    yield Problem(name, None, "", f"is not known; {hint}")


def _variables(annotation: Any, loc: Loc) -> Iterator[str]:
    """Every variable that may exist."""
    model = model_in(annotation)
    if loc:
        yield variable_for(loc)
    for name, field in model.model_fields.items() if model else ():
        yield from _variables(field.annotation, (*loc, name))


def _problem_with(name: str, loc: Loc, value: str) -> str | None:
    if name != name.upper():
        return "must be written in capitals"
    problem = next(_misplaced(loc), None)
    if problem is None and _is_structure(annotation_at(Settings, loc)):
        return _problem_with_json(value)
    return problem


def _misplaced(loc: Loc) -> Iterator[str]:
    for end, part in enumerate(loc):
        above = annotation_at(Settings, loc[:end])
        model = model_in(above)
        if items_of(above) is not None or members_of(above) is not None:
            yield f"it is set as a whole, in JSON, by {variable_for(loc[:end])}"
        elif model is None:
            yield f"{field_name(loc[:end])} is a single value"
        elif part not in model.model_fields:
            yield unknown_name(str(part), model.model_fields)
        else:
            continue
        return


def _places_in(data: Any, loc: Loc) -> Iterator[Loc]:
    """``loc`` and every place below it."""
    for part in loc:
        data = data[part]
    return _places_below(data, loc)


def _places_below(value: Any, loc: Loc) -> Iterator[Loc]:
    yield loc
    members = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else members
    for part, held in items:
        yield from _places_below(held, (*loc, part))


def _is_structure(annotation: Any) -> bool:
    held = (model_in(annotation), items_of(annotation), members_of(annotation))
    return any(part is not None for part in held)


def _problem_with_json(value: str) -> str | None:
    try:
        json.loads(value)
    except ValueError:
        return "must be JSON"
    return None
