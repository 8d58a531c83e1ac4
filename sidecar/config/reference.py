"""The manual of both files, printed from the models, so that it cannot say anything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sidecar.config.catalogue_file import CatalogueFile
from sidecar.config.environment import FAMILY, PREFIX, variable_for
from sidecar.config.problem import Loc, field_name
from sidecar.config.settings import Settings
from sidecar.config.shape import Shown, items_of, members_of, model_in

_INTRODUCTION: Final = f"""\
# Configuration

A sidecar reads one settings file and the catalogue that it names. `scopegate validate --config
FILE` checks both, loads the policies and fetches every issuer's keys; it prints every problem as
`file:line: field: message` and ends with status 2. On faulty files or policies a sidecar does not
start: it says the same on standard error, with the same status.

Both files are YAML 1.2 without tags and merge keys, at most 1 MiB. An unknown or repeated key is
an error. Text that YAML versions read differently (`on`, `yes`, `0777`, `12:30`, dates) must be
put in quotes; so must text that starts with `[`, `{{` or `*`.

A variable `{PREFIX}A__B` sets `a.b` above the file. A list, or a whole section, is set as JSON.
Every other variable that starts with `{FAMILY}` is an error, so that a misspelt one is never
without effect. Only those that Kubernetes makes of a Service (`{FAMILY}SERVICE_HOST`) are ignored.

<!-- Printed by sidecar.config.reference from the models. A test holds this page to them. -->
"""
_SCALARS: Final = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def manual() -> str:
    """The text of ``docs/configuration.md``."""
    settings = _sections(Settings, (), {}, with_variables=True)
    catalogue = _sections(CatalogueFile, (), {}, with_variables=False)
    return "\n".join((_INTRODUCTION, "## Settings\n", *settings, "## Catalogue\n", *catalogue))


def _sections(
    model: type[BaseModel], loc: Loc, seen: dict[type, str], *, with_variables: bool
) -> Iterator[str]:
    """A table of the model's fields, then one for each model below, unless it was ``seen``."""
    if loc:
        yield f"### `{_shown(loc)}`\n\n{_summary(model)}\n"
    seen[model] = _shown(loc)
    yield "\n".join(_table(model, loc, seen, with_variables=with_variables)) + "\n"
    for name, field in model.model_fields.items():
        below, held = _held_by(name, field)
        if held is not None and held not in seen:
            yield from _sections(held, (*loc, *below), seen, with_variables=with_variables)


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").partition("\n\n")[0].split())


def _held_by(name: str, field: FieldInfo) -> tuple[Loc, type[BaseModel] | None]:
    """Where the models of a field stand, and which model it is; None when it holds none."""
    if items_of(field.annotation) is not None:
        return (name, 0), model_in(items_of(field.annotation))
    if members_of(field.annotation) is not None:
        return (name, "NAME"), model_in(members_of(field.annotation))
    return (name,), model_in(field.annotation)


def _shown(loc: Loc) -> str:
    """``issuers[].jwks``."""
    return field_name(loc).replace("[0]", "[]")


def _table(
    model: type[BaseModel], loc: Loc, seen: Mapping[type, str], *, with_variables: bool
) -> Iterator[str]:
    environment = ("Environment",) if with_variables else ()
    columns = ("Key", "Type", "Default", *environment, "Meaning")
    yield _row(columns)
    yield _row("---" for _ in columns)
    for name, field in model.model_fields.items():
        variable = (f"`{variable_for((*loc, name))}`",) if with_variables else ()
        kind = _kind_of_field(name, field, loc, seen)
        yield _row((f"`{name}`", kind, _default(field), *variable, _meaning(field)))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _meaning(field: FieldInfo) -> str:
    held = model_in(field.annotation)
    text = field.description or (_summary(held) if held else "")
    return " ".join(text.split())


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "none"
    return "as below" if isinstance(value, BaseModel) else f"`{_written(value)}`"


def _written(value: Any) -> str:
    """A default as an operator would write it."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case Enum():
            return str(value.value)
        case frozenset():
            return f"[{', '.join(sorted(map(_written, value)))}]"
        case dict():
            return "{}"
        case ():
            return "[]"
        case _:
            return str(value)


def _kind_of_field(name: str, field: FieldInfo, loc: Loc, seen: Mapping[type, str]) -> str:
    below, held = _held_by(name, field)
    if held is None:
        return _kind(field.annotation, field.metadata)
    where = f"`{seen.get(held, _shown((*loc, *below)))}`"
    match below[1:]:
        case (0,):
            return f"list of {where}"
        case ("NAME",):
            return f"{_kind(get_args(field.annotation)[0])} to {where}"
        case _:
            return f"section {where}"


def _kind(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    if get_origin(annotation) is Annotated:
        annotation, *inner = get_args(annotation)
        return _kind(annotation, (*inner, *metadata))
    shown = next((one for one in metadata if isinstance(one, Shown)), None)
    members = [one for one in get_args(annotation) if one is not NoneType]
    if shown is not None:
        unit = (shown.unit,) if shown.unit else ()
        return ", ".join((shown.kind, *unit, *_bounds(metadata)))
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{_written(one)}`" for one in members)
    if NoneType in get_args(annotation):
        return _kind(members[0], metadata)
    if items_of(annotation) is not None:
        return f"list of {_kind(members[0])}"
    if members_of(annotation) is not None:
        return f"{_kind(members[0])} to {_kind(members[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{one.value}`" for one in annotation)
    return ", ".join((_SCALARS[annotation], *_bounds(metadata)))


def _bounds(metadata: Iterable[Any]) -> Iterator[str]:
    for bound in metadata:
        match bound:
            case Gt(gt):
                yield f"above {gt}"
            case Ge(ge):
                yield f"at least {ge}"
            case Le(le):
                yield f"at most {le}"
            case _:
                continue
