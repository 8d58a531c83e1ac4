"""The closed list of reasons for which a call does not pass, and what each looks like outside.

One row per reason: the code word (logs, metrics, tests and clients use it, never the prose), the
HTTP status that the caller gets, the gRPC code that Envoy gets, and the public sentence. The
sentence never says which rule or threshold refused: a model that reads it would learn to stay
just below. Token problems are 401, authority problems 403, our own troubles 503.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

# google.rpc.Code. Any non-zero code refuses; OK (0) is written in one place only, the encoder.
_INVALID_ARGUMENT: Final = 3
_PERMISSION_DENIED: Final = 7
_RESOURCE_EXHAUSTED: Final = 8
_INTERNAL: Final = 13
_UNAVAILABLE: Final = 14
_UNAUTHENTICATED: Final = 16


@dataclass(frozen=True, slots=True)
class Outside:
    """What one reason looks like to Envoy and to the caller."""

    word: str
    http_status: int
    grpc_code: int
    sentence: str


def _bad_request(word: str, sentence: str, status: int = 400) -> Outside:
    return Outside(word, status, _INVALID_ARGUMENT, sentence)


def _bad_token(word: str, sentence: str) -> Outside:
    return Outside(word, 401, _UNAUTHENTICATED, sentence)


def _forbidden(word: str, sentence: str) -> Outside:
    return Outside(word, 403, _PERMISSION_DENIED, sentence)


def _unavailable(word: str, sentence: str) -> Outside:
    return Outside(word, 503, _UNAVAILABLE, sentence)


class Reason(Enum):
    """Why a call does not pass; the value is its row of the table."""

    # (1) decode: the request itself
    MALFORMED_CHECK = _bad_request("malformed_check", "The request could not be understood.")
    MARKER_REFUSED = _forbidden("marker_refused", "This route is not set up for access.")
    PATH_MALFORMED = _bad_request("path_malformed", "The request's path could not be understood.")
    QUERY_MALFORMED = _bad_request("query_malformed", "The query could not be understood.")
    OPERATION_UNKNOWN = _forbidden("operation_unknown", "This operation is not offered here.")
    BODY_MALFORMED = _bad_request("body_malformed", "The request's body could not be understood.")
    BODY_TOO_LARGE = _bad_request("body_too_large", "The request's body is too large.", 413)
    BODY_TYPE_REFUSED = _bad_request(
        "body_type_refused", "The request's content type is not accepted here.", 415
    )

    # (2) find the token
    TOKEN_MISSING = _bad_token("token_missing", "A bearer token is required.")
    TOKEN_AMBIGUOUS = _bad_token("token_ambiguous", "Exactly one bearer token is required.")
    CREDENTIAL_REFUSED = _bad_request(
        "credential_refused", "A second credential is not accepted here."
    )

    # (3) key of that issuer
    TOKEN_MALFORMED = _bad_token("token_malformed", "The token could not be understood.")
    ISSUER_UNKNOWN = _bad_token("issuer_unknown", "The token's issuer is not trusted here.")
    ALGORITHM_REFUSED = _bad_token("algorithm_refused", "The token's algorithm is not accepted.")
    TYPE_REFUSED = _bad_token("type_refused", "This kind of token is not accepted.")
    KEY_UNKNOWN = _bad_token("key_unknown", "The token was signed with an unknown key.")

    # (4) verify
    SIGNATURE_INVALID = _bad_token("signature_invalid", "The token's signature is not valid.")
    CLAIM_INVALID = _bad_token("claim_invalid", "A claim of the token is missing or not valid.")
    TOKEN_EXPIRED = _bad_token("token_expired", "The token has expired.")
    TOKEN_NOT_YET_VALID = _bad_token("token_not_yet_valid", "The token is not valid yet.")
    LIFETIME_EXCEEDED = _bad_token("lifetime_exceeded", "The token's lifetime is too long.")
    AUDIENCE_REFUSED = _bad_token("audience_refused", "The token is not meant for this tool.")
    TENANT_NOT_OF_ISSUER = _bad_token(
        "tenant_not_of_issuer", "The token's issuer may not speak for this tenant."
    )
    SCOPE_ABOVE_CEILING = _bad_token(
        "scope_above_ceiling", "The token grants more than its issuer may grant."
    )
    TOKEN_TOO_OLD = _bad_token("token_too_old", "The token is too old for this operation.")
    DELEGATION_REFUSED = _bad_token("delegation_refused", "The token's delegation is not valid.")
    BINDING_REFUSED = _bad_token("binding_refused", "The token belongs to another caller.")
    DPOP_REFUSED = _bad_token("dpop_refused", "The proof of possession is missing or not valid.")
    STALE_POLICY = _bad_token("stale_policy", "The token was minted under another policy.")
    STALE_CAPABILITIES = _bad_token(
        "stale_capabilities", "The token was minted for another set of tools."
    )
    TENANT_MISMATCH = _forbidden("tenant_mismatch", "The token belongs to another tenant.")

    # (5) deny list
    REVOKED = _bad_token("revoked", "The token has been revoked.")

    # (6) scope floor
    INSUFFICIENT_SCOPE = _forbidden(
        "insufficient_scope", "The token's scope does not cover this operation."
    )

    # (7) policy
    POLICY_DENIED = _forbidden("policy_denied", "Policy does not allow this call.")
    POLICY_ERROR = _forbidden("policy_error", "Policy could not decide on this call.")
    APPROVAL_NEEDED = _forbidden("approval_needed", "A human must approve this call first.")

    # (8) claim what is single-use
    REPLAYED = _bad_token("replayed", "The token was for a single use and has been used.")
    USE_UNKNOWN = _bad_token(
        "use_unknown", "The token is for a single use; whether it was used is not known any more."
    )
    QUOTA_EXCEEDED = Outside(
        "quota_exceeded",
        429,
        _RESOURCE_EXHAUSTED,
        "Too many single-use tokens or sessions are in use.",
    )

    SESSION_REFUSED = _forbidden("session_refused", "The session belongs to another agent.")

    # (9) settle
    SANITIZE_IMPOSSIBLE = _forbidden(
        "sanitize_impossible", "This call cannot be made safe to forward."
    )

    # our own troubles
    OVERLOADED = _unavailable("overloaded", "Authorization is overloaded.")
    DEADLINE_EXCEEDED = _unavailable("deadline_exceeded", "Authorization took too long.")
    KEYS_UNAVAILABLE = _unavailable("keys_unavailable", "The issuer's keys are not available.")
    CLOCK_SKEWED = _unavailable("clock_skewed", "The issuer's clock and ours differ.")
    DENY_LIST_UNAVAILABLE = _unavailable("deny_list_unavailable", "Revocations are not available.")
    POLICY_UNAVAILABLE = _unavailable("policy_unavailable", "Policy is not available.")
    REPLAY_UNAVAILABLE = _unavailable("replay_unavailable", "The replay store is not available.")
    INTERNAL_ERROR = Outside("internal_error", 500, _INTERNAL, "Authorization failed.")

    @property
    def word(self) -> str:
        """The stable code word, the same in logs, metrics, tests and answers."""
        return self.value.word

    @property
    def http_status(self) -> int:
        """The HTTP status that the caller gets."""
        return self.value.http_status

    @property
    def grpc_code(self) -> int:
        """The ``google.rpc.Code`` that Envoy gets; never 0."""
        return self.value.grpc_code

    @property
    def sentence(self) -> str:
        """The public text: what happened, never which threshold."""
        return self.value.sentence
