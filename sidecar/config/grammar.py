"""The small languages inside a configuration's text: scopes, paths, names of things and headers.

The core has the grammar of scopes and paths; here a break of it becomes a message for the operator,
and what could be meant but never match a request is refused too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final, TypeGuard

from pydantic import AfterValidator, Field, PlainValidator

from sidecar.config.explain import broken_rule
from sidecar.config.shape import Shown
from sidecar.core.catalogue import METHOD, PARAMETER, REST, ScopeTemplate, has_brace
from sidecar.core.jsonrpc import METHOD_NAME, TOOL_NAME, TOOLS_CALL
from sidecar.core.model import Dependency, Scope
from sidecar.core.scope import parse_scope
from sidecar.core.signature import ALGORITHMS
from sidecar.core.stance import FIXED, fixed_text
from sidecar.core.target import split_path

HEADER_FAMILIES: Final = ("x-agent-", "x-authz-")
"""What Envoy removes from every client request before anything else (``envoy/envoy.yaml``)."""

_LITERAL: Final = re.compile(r"[A-Za-z0-9._~!$&'()+,=:@-]+")
"""RFC 3986, section 3.3: a ``pchar`` without escapes, without ``*`` and without ``;``, which starts
a path parameter for some servers."""

_ALGORITHMS: Final = sorted(ALGORITHMS, key=str.casefold)
_CHANGEABLE: Final = {one.value: one for one in Dependency if one not in FIXED}
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_A_DAY_S: Final = 86400.0
_FILE: Final = r"[^\x00-\x1f\x7f]+"


def matching(pattern: str | re.Pattern[str], message: str) -> AfterValidator:
    """Refuse text that ``pattern`` does not match as a whole, with this message."""
    return AfterValidator(_matcher(re.compile(pattern), message))


def _matcher(pattern: re.Pattern[str], message: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise broken_rule(message)
        return text

    return check


def _check_family(text: str) -> str:
    if not text.startswith(HEADER_FAMILIES):
        raise broken_rule(
            f"must begin with {' or '.join(HEADER_FAMILIES)}: Envoy removes these from every "
            "client request, so that nobody else can write them, even when the sidecar is dead"
        )
    return text


def _check_algorithm(text: str) -> str:
    if text not in ALGORITHMS:
        raise broken_rule(f"must be {' or '.join(_ALGORITHMS)}")
    return text


def _check_offered(text: str) -> str:
    if text in {"CONNECT", "TRACE"}:
        raise broken_rule("must not be CONNECT or TRACE: they are never offered")
    return text


def _check_is_no_tool_call(text: str) -> str:
    if text == TOOLS_CALL:
        raise broken_rule(f"{TOOLS_CALL} is offered tool by tool, under tools")
    return text


def _read_changeable(text: object) -> Dependency:
    for fixed in FIXED:
        if text == fixed.value:
            raise broken_rule(fixed_text(fixed))
    if not isinstance(text, str) or text not in _CHANGEABLE:
        raise broken_rule(f"must be {' or '.join(_CHANGEABLE)}")
    return _CHANGEABLE[text]


def _read_day(text: object) -> float:
    """The end of a day in UTC, in seconds since the epoch."""
    rule = broken_rule("must be a date such as 2027-01-31, in quotes")
    if not isinstance(text, str) or not _DAY.fullmatch(text):
        raise rule
    try:
        begin = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise rule from None
    return begin.timestamp() + _A_DAY_S


Name = Annotated[
    str,
    Shown("name"),
    matching(
        r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?",
        "must be a name of a-z, 0-9, - and _, at most 63 characters, that starts and ends "
        "with a letter or digit",
    ),
]
Exact = Annotated[
    str,
    Shown("exact text"),
    Field(max_length=256),
    matching(r"[!-)+-~]+", "must be exact visible ASCII text: no spaces, no * for anything"),
]
"""Compared byte for byte with what a token says: an issuer, a tenant, an audience, a claim."""
File = Annotated[
    str,
    Shown("path, relative to this file"),
    matching(_FILE, "must be a path: no control characters"),
]
HeaderName = Annotated[
    str,
    Shown(f"header name, {' or '.join(f'`{one}...`' for one in HEADER_FAMILIES)}"),
    AfterValidator(_check_family),
    matching(
        r"x-[a-z]+-[a-z0-9!#$%&'*+.^_`|~-]+",
        "must be a header name in lower case (RFC 9110, section 5.6.2)",
    ),
]
Method = Annotated[
    str,
    Shown("HTTP method"),
    matching(METHOD, "must be an HTTP method in capitals, such as GET"),
    AfterValidator(_check_offered),
]
McpMethod = Annotated[
    str,
    Shown("MCP method"),
    matching(METHOD_NAME, "must be the name of an MCP method, such as tools/list"),
    AfterValidator(_check_is_no_tool_call),
]
McpTool = Annotated[
    str,
    Shown("tool name"),
    matching(TOOL_NAME, "must be a tool's name of A-Z, a-z, 0-9, _ . : / and -"),
]
Entrypoint = Annotated[
    str,
    Shown("rule"),
    matching(
        r"data(\.[A-Za-z_][A-Za-z0-9_]*)+", "must be the path of a rule, such as data.a.ruling"
    ),
]
Algorithm = Annotated[
    str,
    Shown(" or ".join(f"`{name}`" for name in _ALGORITHMS)),
    AfterValidator(_check_algorithm),
]
Changeable = Annotated[
    Dependency,
    PlainValidator(_read_changeable),
    Shown(" or ".join(f"`{name}`" for name in _CHANGEABLE)),
]
"""A row of the stance table to which a route may have an exception."""
Day = Annotated[
    float,
    PlainValidator(_read_day),
    Shown('date, `"YYYY-MM-DD"`'),
]
"""The last day of something: seconds since the epoch at its end, in UTC."""
TokenType = Annotated[
    str,
    matching(r"[A-Za-z0-9!#$&^_.+/-]*", 'must be a type such as JWT or at+jwt, or "" for none'),
]


def is_file(text: object) -> TypeGuard[str]:
    """Whether ``text`` can be a ``File``."""
    return isinstance(text, str) and re.fullmatch(_FILE, text) is not None


def read_path(text: object) -> tuple[str, ...]:
    """``/customers/{customer}`` as its segments (``core.target.split_path``)."""
    if not isinstance(text, str) or not text.startswith("/"):
        raise broken_rule("must be a path that starts with /")
    segments = split_path(text)
    if not all(map(_is_segment, segments[:-1])) or not _is_last_segment(segments):
        raise broken_rule(
            "must have segments of plain text or of one {parameter}, and may end in / or /**; "
            "no empty segments, no escapes, no . or .."
        )
    parameters = [segment for segment in segments if PARAMETER.fullmatch(segment)]
    if len(parameters) != len(set(parameters)):
        raise broken_rule("must not name a {parameter} twice")
    return segments


def _is_segment(segment: str) -> bool:
    literal = _LITERAL.fullmatch(segment) and segment not in {".", ".."}
    return bool(literal or PARAMETER.fullmatch(segment))


def _is_last_segment(segments: tuple[str, ...]) -> bool:
    return not segments or segments[-1] in {"", REST} or _is_segment(segments[-1])


def read_scope(text: object) -> Scope:
    """``action:resource:identifier``, the identifier literal or ``*``."""
    scope = _well_formed(text)
    if has_brace(scope.identifier):
        raise broken_rule("must not hold a {parameter} here")
    return scope


def read_scope_template(text: object) -> ScopeTemplate:
    """``action:resource:identifier``, the identifier literal, ``*`` or a ``{parameter}``."""
    scope = _well_formed(text)
    if has_brace(scope.identifier) and not PARAMETER.fullmatch(scope.identifier):
        raise broken_rule("must end in plain text, in *, or in one {parameter} alone")
    return ScopeTemplate(scope.action, scope.resource, scope.identifier)


def _well_formed(text: object) -> Scope:
    scope = parse_scope(text) if isinstance(text, str) else None
    if scope is None:
        raise broken_rule(
            "must be action:resource:identifier, such as read:customers:42; "
            "only the identifier may be *, and only alone"
        )
    return scope
