"""What a configuration model may hold at a place: for messages, overrides and the manual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict

from sidecar.config.problem import Loc


@dataclass(frozen=True, slots=True)
class Shown:
    """How the manual names a type whose Python name says nothing to an operator."""

    kind: str
    unit: str = ""


class StrictModel(BaseModel):
    """A part of a configuration: immutable, nothing unknown in it, nothing coerced."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
    )


def plain(annotation: Any) -> Any:
    """An annotation without ``Annotated`` and without an ``| None``."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        members = [member for member in get_args(annotation) if member is not NoneType]
        if len(members) == 1:
            return plain(members[0])
    return annotation


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation stands for, or None when it stands for something else."""
    found = plain(annotation)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def items_of(annotation: Any) -> Any:
    """What a list holds, or None when the annotation is no list."""
    found = plain(annotation)
    return get_args(found)[0] if get_origin(found) in {tuple, frozenset} else None


def members_of(annotation: Any) -> Any:
    """What a mapping with free keys holds, or None when the annotation is no such mapping."""
    found = plain(annotation)
    return get_args(found)[1] if get_origin(found) in {dict, Mapping} else None


def annotation_at(annotation: Any, loc: Loc) -> Any:
    """The annotation of the value at ``loc``; None where nothing may stand."""
    for part in loc:
        model = model_in(annotation)
        if model is not None:
            known = model.model_fields.get(str(part))
            annotation = known.annotation if known else None
        else:
            annotation = items_of(annotation) if isinstance(part, int) else members_of(annotation)
        if annotation is None:
            return None
    return annotation
