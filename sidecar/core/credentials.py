"""Second credentials: what stands beside the token and a tool could honour instead of it.

A tool that takes a cookie or an API key would serve somebody other than the verified agent. So
such headers do not reach it, and a query that holds one is refused (a query is logged by everybody
on its way, and Envoy cannot rewrite each spelling of it), unless the route lists the name.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.core.model import Call, Refused
from sidecar.core.reasons import Reason

# A header counts when one of its name's words stands here. That takes a few harmless ones along
# (Idempotency-Key); a list of known credentials would miss the next vendor's.
_WORDS: Final = frozenset(
    {
        "accesstoken", "apikey", "apitoken", "assertion", "auth", "authentication",
        "authorization", "authtoken", "bearer", "cookie", "cookie2", "credential", "credentials",
        "dpop", "idtoken", "jwt", "key", "passphrase", "passwd", "password", "secret", "session",
        "token", "tokens",
    }
)  # fmt: skip
_NO_CREDENTIALS: Final = frozenset({"mcp-session-id"})  # MCP, Security Best Practices: no proof

# Query parameters count by their whole name, without case and punctuation: words would refuse
# "pageToken" and "sortKey". Ambiguous names that real tools use for something else stay out: "key"
# (a record's), "code" (a country's), "session" and "sessionId" (MCP's HTTP+SSE), "ticket", "pass",
# "signature", "state"; and what continues a list: "pageToken", "nextToken", "continuationToken",
# "syncToken". "token" alone is more often a credential than not (Slack, Jupyter, GitLab triggers):
# a route that means something else by it lists it.
_FOLDED: Final = frozenset(
    {
        "accesskey", "accesskeyid", "accesstoken", "apikey", "apisecret", "apitoken", "appkey",
        "applicationkey", "appsecret", "assertion", "auth", "authentication", "authkey",
        "authorization", "authtoken", "awsaccesskeyid", "bearer", "bearertoken", "bottoken",
        "clientassertion", "clientsecret", "consumersecret", "cookie", "credential", "credentials",
        "developerkey", "idtoken", "idtokenhint", "jobtoken", "jwt", "logintoken", "masterkey",
        "oauthtoken", "otp", "passphrase", "passwd", "password", "personalaccesstoken",
        "privatekey", "privatetoken", "proxyauthorization", "pwd", "refreshtoken", "sastoken",
        "secret", "secretkey", "secrettoken", "securitytoken", "servicekey", "sessiontoken", "sig",
        "subscriptionkey", "token", "usertoken", "xaccesstoken", "xamzcredential",
        "xamzsecuritytoken", "xamzsignature", "xapikey", "xauthtoken", "xgoogcredential",
        "xgoogsignature",
    }
)  # fmt: skip

# None of the words, and yet a tool believes them: who the user is or which certificate was shown,
# as proxies say it, and a key whose name does not tell (Artifactory's).
_BELIEVED: Final = frozenset(
    {
        "remote-user", "ssl-client-cert", "x-amzn-mtls-clientcert", "x-amzn-mtls-clientcert-leaf",
        "x-amzn-mtls-clientcert-subject", "x-amzn-oidc-data", "x-amzn-oidc-identity",
        "x-arr-clientcert", "x-authenticated-groups", "x-authenticated-user",
        "x-authenticated-userid", "x-client-cert", "x-client-dn", "x-client-verify",
        "x-endpoint-api-userinfo", "x-forwarded-access-token", "x-forwarded-client-cert",
        "x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username",
        "x-forwarded-user", "x-goog-authenticated-user-email", "x-goog-authenticated-user-id",
        "x-jfrog-art-api", "x-ms-client-principal", "x-ms-client-principal-id",
        "x-ms-client-principal-name", "x-remote-group", "x-remote-user", "x-ssl-cert",
        "x-ssl-client-cert", "x-ssl-client-dn", "x-ssl-client-verify", "x-userinfo",
        "x-webauth-user",
    }
)  # fmt: skip

# They hold one of the words and prove nothing to anybody. A retry must keep its idempotency key (or
# a payment is made twice), a WebSocket its nonce (RFC 6455), UNLOCK its lock (RFC 4918), and an
# object store must hear which key it encrypts with (or it stores under another, or under none).
_HARMLESS: Final = frozenset(
    {
        "cache-key", "idempotency-key", "lock-token", "mcp-session-id", "sec-websocket-key",
        "surrogate-key", "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-server-side-encryption-customer-key-md5", "x-cache-key", "x-continuation-token",
        "x-goog-encryption-key", "x-goog-encryption-key-sha256", "x-idempotency-key",
        "x-ms-encryption-key", "x-ms-encryption-key-sha256", "x-next-token", "x-page-token",
        "x-partition-key", "x-routing-key",
    }
)  # fmt: skip

_SEPARATOR: Final = re.compile(r"[-_.]")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110, section 5.6.2


def looks_like_credential(header_name: str) -> bool:
    """Whether a header's value may be a secret, by the words of its lower-case name.

    True too for some that are none (``idempotency-key``): who asks must rather withhold one.
    """
    name = header_name
    words = (name.replace("_", "-") if "_" in name else name).split("-")
    return not (_WORDS.isdisjoint(words) or name in _NO_CREDENTIALS)


def second_credentials(call: Call) -> tuple[str, ...] | Refused:
    """List the request's headers that must not reach the tool, sorted.

    Not ``authorization``, which ``core.settle`` handles, nor what the route lists or names its
    session by. ``CREDENTIAL_REFUSED`` for a query parameter that looks like a credential and is not
    listed, and for a header that Envoy could not take away by its name.
    """
    for parameter in {name for name, _ in call.request.query}:
        if _folded(parameter) in _FOLDED and parameter.lower() not in call.credentials:
            return Refused(Reason.CREDENTIAL_REFUSED, f"query parameter {parameter[:256]!r}")
    kept = call.credentials | {"authorization", call.session_header}
    names = sorted(name for name in call.request.headers if name not in kept and _is_second(name))
    for name in names:
        if not _HEADER_NAME.fullmatch(name):
            return Refused(Reason.CREDENTIAL_REFUSED, f"header {name[:256]!r}")
    return tuple(names)


def _is_second(name: str) -> bool:
    # Envoy's own, which it takes from clients and lets nobody take away (x-envoy-auth-partial-body).
    if name in _HARMLESS or name.startswith("x-envoy-"):
        return False
    # A tool behind CGI or WSGI reads "x_forwarded_user" as "x-forwarded-user".
    if name.replace("_", "-") in _BELIEVED:
        return True
    words = _SEPARATOR.split(name)  # more than policy is told less for: a tool may split at a dot
    return not (_WORDS.isdisjoint(words) and _FOLDED.isdisjoint(words))


def _folded(name: str) -> str:
    """Only letters and digits: PHP reads " api_key" and "api.key[]" as "api_key"."""
    return "".join(filter(str.isalnum, name.casefold()))
