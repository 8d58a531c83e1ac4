"""(1) The body of an MCP request: exactly one JSON-RPC call, read so that nobody reads another.

The tool behind us parses the same bytes again, with a parser that we do not know. So the envelope
is closed, and whatever parsers disagree on (duplicate members, members that differ in case only,
batches, other encodings) is refused instead of guessed. Batches left MCP with revision 2025-06-18.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sidecar.core.model import JsonObject, Refused, ToolCall
from sidecar.core.reasons import Reason
from sidecar.core.strict_json import parse_object

TOOLS_CALL: Final = "tools/call"

MAX_DEPTH: Final = 64
"""Objects and arrays inside each other, the envelope included."""

_JSON: Final = re.compile(
    rb'application/json[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?', re.IGNORECASE
)
METHOD_NAME: Final = re.compile(r"[A-Za-z0-9_/$.-]{1,128}")
TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
_URI: Final = re.compile(r"[!-~]{1,2048}")

_ENVELOPE: Final = frozenset({"jsonrpc", "method", "id", "params"})
_NAMED_BY: Final = {
    TOOLS_CALL: ("name", TOOL_NAME),
    "prompts/get": ("name", TOOL_NAME),
    "resources/read": ("uri", _URI),
    "resources/subscribe": ("uri", _URI),
    "resources/unsubscribe": ("uri", _URI),
}
_TAKES_ARGUMENTS: Final = frozenset({TOOLS_CALL, "prompts/get"})
_READ_FROM_PARAMS: Final = frozenset({"name", "uri", "arguments"})


def parse_call(
    body: bytes, content_type: bytes | None, content_encoding: bytes | None
) -> ToolCall | Refused:
    """Read one JSON-RPC 2.0 request or notification.

    ``arguments`` are ``params.arguments`` of ``tools/call`` and ``prompts/get``, and the whole
    ``params`` of every other method. ``BODY_TYPE_REFUSED`` when the body is not declared as plain
    UTF-8 JSON, ``BODY_MALFORMED`` for everything that is not exactly one unambiguous call.
    """
    if content_type is None or not _JSON.fullmatch(content_type.strip(b" \t")):
        return Refused(Reason.BODY_TYPE_REFUSED, "content-type is not application/json")
    if content_encoding is not None and content_encoding.strip(b" \t").lower() != b"identity":
        return Refused(Reason.BODY_TYPE_REFUSED, "content-encoding is not identity")
    try:
        envelope = parse_object(body, max_depth=MAX_DEPTH)
    except ValueError as error:
        return _malformed(str(error))
    if not _is_unambiguous(envelope):
        return _malformed("member names that some parsers take for one another")
    return _call_of(envelope)


def _call_of(envelope: JsonObject) -> ToolCall | Refused:
    if not _ENVELOPE.issuperset(envelope):
        return _malformed("members that no JSON-RPC call has")
    if envelope.get("jsonrpc") != "2.0":
        return _malformed("jsonrpc is not 2.0")
    method, call_id = envelope.get("method"), envelope.get("id")
    if not isinstance(method, str) or not METHOD_NAME.fullmatch(method):
        return _malformed("method")
    if "id" in envelope and (isinstance(call_id, bool) or not isinstance(call_id, str | int)):
        return _malformed("id is neither text nor an integer")
    params: Any = envelope.get("params", {})
    if not isinstance(params, dict):
        return _malformed("params is not an object")
    return _named(method, params, call_id)


def _named(method: str, params: dict[str, Any], call_id: str | int | None) -> ToolCall | Refused:
    # Alone, too: a parser that ignores case reads "Arguments" where we would see none.
    if any(n.casefold() in _READ_FROM_PARAMS and n not in _READ_FROM_PARAMS for n in params):
        return _malformed("a member of params in another case")
    name: Any = ""
    if method in _NAMED_BY:
        member, form = _NAMED_BY[method]
        name = params.get(member)
        if not isinstance(name, str) or not form.fullmatch(name):
            return _malformed(f"params.{member}")
    arguments: Any = params.get("arguments", {}) if method in _TAKES_ARGUMENTS else params
    if not isinstance(arguments, dict):
        return _malformed("params.arguments is not an object")
    return ToolCall(method, name, arguments, call_id)


def _is_unambiguous(value: Any) -> bool:
    """Whether no object holds two names that a parser could take for one.

    Some parsers match names without case (Go's ``encoding/json``, with Unicode's folds of k and
    s), and some end a name at a NUL.
    """
    if isinstance(value, dict):
        names = {name.casefold() for name in value}
        if len(names) != len(value) or any("\0" in name for name in names):
            return False
        return all(map(_is_unambiguous, value.values()))
    return not isinstance(value, list) or all(map(_is_unambiguous, value))


def _malformed(detail: str) -> Refused:
    return Refused(Reason.BODY_MALFORMED, detail)
