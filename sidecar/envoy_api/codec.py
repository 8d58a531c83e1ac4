"""(1) and (9): ``CheckRequest`` bytes to a ``Request``, a ``Verdict`` to ``CheckResponse`` bytes.

What Envoy does with an answer is decided by ``status.code`` alone: an empty answer, or code 0
beside a ``denied_response``, is an ALLOW. So there is one builder, a refusal takes its code from
the table of reasons, and code 0 is written in one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import msgspec
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.protobuf.message import DecodeError

from sidecar.core.model import Allowed, Marker, Peer, Refused, Request, Verdict
from sidecar.core.reasons import Reason
from sidecar.core.record import outcome
from sidecar.core.settle import Outgoing
from sidecar.core.target import parse_target
from sidecar.envoy_api.generated import ext_authz_pb2 as pb

_Headers: TypeAlias = "RepeatedCompositeFieldContainer[pb.HeaderValueOption]"
_METHOD_BYTES: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_")
_VISIBLE: Final = frozenset(range(0x21, 0x7F))


def decode(raw: bytes) -> Request | Refused:
    """The request that Envoy asks about, from a serialised ``CheckRequest``.

    Reads ``header_map`` (``encode_raw_headers: true``: duplicates kept) or ``headers`` (duplicates
    joined with a comma by Envoy), whichever is filled. Pseudo headers are left out.
    """
    try:
        attributes = pb.CheckRequest.FromString(raw).attributes
    except DecodeError:
        return Refused(Reason.MALFORMED_CHECK, "not a CheckRequest")
    http = attributes.request.http
    method, host, scheme = http.method, http.host, http.scheme
    if not method or not _METHOD_BYTES.issuperset(method):
        return Refused(Reason.MALFORMED_CHECK, "method")
    if not _VISIBLE.issuperset(host) or not _VISIBLE.issuperset(scheme):
        return Refused(Reason.MALFORMED_CHECK, "host or scheme")
    target = parse_target(http.path)
    if isinstance(target, Refused):
        return target
    source = attributes.source
    return Request(
        id=_text(http.id),
        method=method.decode("ascii"),
        scheme=scheme.decode("ascii"),
        host=host.decode("ascii"),
        path=target.path,
        segments=target.segments,
        raw_query=target.raw_query,
        query=target.query,
        headers=_headers(http),
        body=http.raw_body or http.body,
        marker=_marker(attributes.context_extensions),
        peer=Peer(
            _text(source.address.socket_address.address),
            _text(source.principal),
            source.certificate,
        ),
    )


def _headers(http: pb.AttributeContext.HttpRequest) -> Mapping[str, tuple[bytes, ...]]:
    pairs: Iterable[tuple[bytes, bytes]]
    if http.header_map.headers:
        pairs = ((h.key, h.raw_value or h.value) for h in http.header_map.headers)
    else:
        pairs = ((name.encode(), value) for name, value in http.headers.items())
    headers: dict[str, tuple[bytes, ...]] = {}
    for key, value in pairs:
        if not key.startswith(b":"):
            # Lower-cased as bytes: only ASCII folds, as in HTTP.
            name = _text(key.lower())
            headers[name] = (*headers.get(name, ()), value)
    return headers


def _marker(extensions: Mapping[str, bytes]) -> Marker:
    return Marker(
        route=_text(extensions.get("route", b"")),
        lane=_text(extensions.get("lane", b"")),
        rewrite=_text(extensions.get("rewrite", b"")),
        digest=_text(extensions.get("marker", b"")),
    )


def _text(raw: bytes) -> str:
    """For names and for what is recorded: never fails."""
    return raw.decode("utf-8", "backslashreplace")


def encode(verdict: Verdict, decision_id: str, outgoing: Outgoing) -> bytes:
    """The serialised ``CheckResponse`` for a verdict."""
    response = pb.CheckResponse()
    metadata = response.dynamic_metadata.fields
    metadata["decision_id"].string_value = decision_id
    metadata["action"].string_value = outcome(verdict)
    decision = verdict.decision
    if isinstance(decision, Refused):
        metadata["reason"].string_value = decision.reason.word
        _deny(response, decision, decision_id, outgoing)
    else:
        skipped = ",".join(dependency.value for dependency in verdict.skipped)
        if skipped:
            metadata["skipped"].string_value = skipped
        _allow(response, decision, skipped, outgoing)
    return response.SerializeToString()


def _allow(response: pb.CheckResponse, allowed: Allowed, skipped: str, outgoing: Outgoing) -> None:
    response.status.code = 0
    ok = response.ok_response
    for name, value in allowed.set_headers:
        _add(ok.headers, name, value)
    ok.headers_to_remove.extend([name.encode("ascii") for name in allowed.remove_headers])
    if skipped:
        _add(ok.headers, outgoing.skipped, skipped)
    else:
        ok.headers_to_remove.append(outgoing.skipped.encode("ascii"))
    for name, value in allowed.set_query:
        ok.query_parameters_to_set.add(key=name.encode("ascii"), value=value.encode("ascii"))
    ok.query_parameters_to_remove.extend([name.encode("ascii") for name in allowed.remove_query])


def _deny(
    response: pb.CheckResponse, refused: Refused, decision_id: str, outgoing: Outgoing
) -> None:
    reason = refused.reason
    response.status.code = reason.grpc_code
    response.status.message = reason.word
    denied = response.denied_response
    denied.status.code = reason.http_status
    _add(denied.headers, "content-type", "application/problem+json")
    _add(denied.headers, "cache-control", "no-store")
    _add(denied.headers, outgoing.decision, decision_id)
    challenge = _challenge(reason)
    if challenge:
        _add(denied.headers, "www-authenticate", challenge)
    if reason.http_status in (429, 503):
        _add(denied.headers, "retry-after", "1")
    denied.body = msgspec.json.encode(_problem(refused, decision_id))


def _problem(refused: Refused, decision_id: str) -> dict[str, object]:
    """The body of a refusal: RFC 9457 members, and ours."""
    reason = refused.reason
    problem: dict[str, object] = {
        "type": f"urn:scopegate:problem:{reason.word}",
        "title": reason.word.replace("_", " ").capitalize(),
        "status": reason.http_status,
        "detail": reason.sentence,
        "reason": reason.word,
        "decision_id": decision_id,
    }
    if refused.public:
        problem["policy_reason"] = refused.public
    if refused.approval_id:
        problem["approval"] = {"id": refused.approval_id}
    return problem


def _challenge(reason: Reason) -> str:
    """``WWW-Authenticate`` (RFC 6750, section 3; RFC 9449, section 7.1).

    No error code when no token was sent.
    """
    if reason is Reason.TOKEN_MISSING:
        return "Bearer"
    if reason is Reason.DPOP_REFUSED:
        return 'DPoP error="invalid_dpop_proof"'
    if reason is Reason.TOKEN_AMBIGUOUS:
        return 'Bearer error="invalid_request"'
    if reason is Reason.INSUFFICIENT_SCOPE:
        return 'Bearer error="insufficient_scope"'
    return 'Bearer error="invalid_token"' if reason.http_status == 401 else ""  # noqa: PLR2004


def _add(headers: _Headers, name: str, value: str) -> None:
    header = headers.add().header
    header.key, header.value = name.encode("ascii"), value.encode("ascii")
