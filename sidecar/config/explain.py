"""pydantic's errors as problems: at the place they were written, in an operator's words."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from sidecar.config.problem import ConfigurationError, Loc, Origin
from sidecar.config.shape import Shown, annotation_at, model_in
from sidecar.nearest import unknown_name

C = TypeVar("C", bound=Collection[Any])
M = TypeVar("M", bound=BaseModel)

_RULE: Final = "rule"
_QUOTE: Final = "must be text: put it in quotes"
_MAPPING: Final = "must be a mapping (name: value)"
_LIST: Final = "must be a list"
_NO_NUMBER: Final = frozenset({"float_type", "int_from_float", "int_type"})
_SENTENCES: Final = {
    "bool_type": "must be true or false",
    "dict_type": _MAPPING,
    "enum": "must be {expected}",
    "float_type": "must be a number",
    "frozen_set_type": _LIST,
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "json_invalid": "holds half a character (a lone surrogate) somewhere",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    "mapping_type": _MAPPING,
    "missing": "is required",
    "model_type": _MAPPING,
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "tuple_type": _LIST,
}


def broken_rule(message: str, at: Loc = ()) -> PydanticCustomError:
    """What a validator raises; ``at`` leads from the validated value to the one at fault."""
    return PydanticCustomError(_RULE, "{message}", {"message": message, "at": at})


def not_empty(items: C) -> C:
    """A validator. pydantic's own length check counts good items only, and so cries twice."""
    if not items:
        raise broken_rule("must not be empty")
    return items


def validated(model: type[M], data: Any, origin: Origin) -> M:
    """``data`` as a ``model``. Raises ``ConfigurationError`` with every problem.

    Validated as JSON: nothing is coerced (``"30"`` is no number), and lists may become tuples.
    """
    try:
        return model.model_validate_json(json.dumps(data, default=str))  # a variable's path
    except ValidationError as error:
        problems = (
            origin.problem(_place(details), _message(details, model))
            for details in error.errors(include_url=False)
        )
        raise ConfigurationError(tuple(dict.fromkeys(problems))) from None


def _place(details: ErrorDetails) -> Loc:
    loc = details["loc"]
    if loc and loc[-1] == "[key]":
        loc = loc[:-1]
    at: Loc = tuple(_context(details).get("at", ()))
    return (*loc, *at)


def _context(details: ErrorDetails) -> Mapping[str, Any]:
    return details.get("ctx", {})


def _message(details: ErrorDetails, model: type[BaseModel]) -> str:
    kind, loc = details["type"], details["loc"]
    if kind == _RULE:
        return str(_context(details)["message"])
    if kind == "extra_forbidden":
        holder = model_in(annotation_at(model, loc[:-1]))
        return unknown_name(str(loc[-1]), holder.model_fields if holder else ())
    if kind == "string_type":
        return _QUOTE if isinstance(details["input"], int | float) else "must be text"
    bounds = {name: _as_written(value) for name, value in _context(details).items()}
    sentence = _SENTENCES.get(kind, details["msg"]).format(**bounds)
    unit = _unit_at(model, loc) if kind in _NO_NUMBER else ""
    return f"{sentence} of {unit}" if unit else sentence


def _unit_at(model: type[BaseModel], loc: Loc) -> str:
    """In what the number at ``loc`` counts: who writes ``15m`` needs to hear it."""
    holder = model_in(annotation_at(model, loc[:-1]))
    field = holder.model_fields.get(str(loc[-1])) if holder else None
    shown = (one for one in (field.metadata if field else ()) if isinstance(one, Shown))
    return next((one.unit for one in shown), "")


def _as_written(bound: Any) -> Any:
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound
