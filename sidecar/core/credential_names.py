"""Names that stand for credentials, and names that only look like it.

A header is judged by its words, because a list of known credentials would miss the next vendor's;
a query parameter by its whole name, because words would refuse harmless ones.
"""

from __future__ import annotations

from typing import Final

# A header counts when one of its name's words stands here. That takes a few harmless ones along
# (Idempotency-Key); a list of known credentials would miss the next vendor's.
WORDS: Final = frozenset(
    {
        "accesstoken", "apikey", "apitoken", "assertion", "auth", "authentication",
        "authorization", "authtoken", "bearer", "cookie", "cookie2", "credential", "credentials",
        "dpop", "idtoken", "jsessionid", "jwt", "key", "keys", "passcode", "passphrase", "passwd",
        "password", "pat", "secret", "session", "sessionid", "token", "tokens",
    }
)  # fmt: skip
NO_CREDENTIALS: Final = frozenset({"mcp-session-id"})  # MCP, Security Best Practices: no proof

# Query parameters count by their whole name, without case and punctuation: words would refuse
# "pageToken" and "sortKey". Ambiguous names that real tools use for something else stay out: "key"
# (a record's), "code" (a country's), "session" and "sessionId" (MCP's HTTP+SSE), "ticket", "pass",
# "signature", "state"; and what continues a list: "pageToken", "nextToken", "continuationToken",
# "syncToken". "token" alone is more often a credential than not (Slack, Jupyter, GitLab triggers):
# a route that means something else by it lists it.
FOLDED: Final = frozenset(
    {
        "accesskey", "accesskeyid", "accesstoken", "apikey", "apisecret", "apitoken", "appkey",
        "applicationkey", "appsecret", "assertion", "auth", "authentication", "authkey",
        "authorization", "authtoken", "awsaccesskeyid", "bearer", "bearertoken", "bottoken",
        "clientassertion", "clientsecret", "consumersecret", "cookie", "credential", "credentials",
        "developerkey", "hapikey", "idtoken", "idtokenhint", "jobtoken", "jsessionid", "jwt",
        "logintoken", "masterkey",
        "oauthtoken", "otp", "passphrase", "passwd", "password", "pat", "personalaccesstoken",
        "phpsessid",
        "privatekey", "privatetoken", "proxyauthorization", "pwd", "refreshtoken", "sastoken",
        "secret", "secretkey", "secrettoken", "securitytoken", "servicekey", "sessiontoken", "sig",
        "subscriptionkey", "token", "usertoken", "xaccesstoken", "xamzcredential",
        "xamzsecuritytoken", "xamzsignature", "xapikey", "xauthtoken", "xgoogcredential",
        "xgoogsignature",
    }
)  # fmt: skip

# None of the words, and yet a tool believes them: who the user is or which certificate was shown,
# as proxies say it, and a key whose name does not tell (Artifactory's).
BELIEVED: Final = frozenset(
    {
        "client-cert", "client-cert-chain", "jsessionid",
        "x-apigateway-api-userinfo", "x-arr-clientcert", "x-client-cert", "x-client-dn",
        "x-client-verify", "x-endpoint-api-userinfo", "x-forwarded-client-cert",
        "x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username",
        "x-forwarded-user", "x-jfrog-art-api", "x-proxy-user", "x-scope-orgid", "x-spiffe-id",
        "x-ssl-cert", "x-userinfo", "x-webauth-user",
    }
)  # fmt: skip

BELIEVED_FAMILIES: Final = (
    "cf-access-", "impersonate-", "oidc-claim-", "remote-", "ssl-client-", "tailscale-user-",
    "x-amzn-mtls-", "x-amzn-oidc-", "x-authenticated-", "x-authentik-", "x-consumer-",
    "x-forwarded-tls-client-", "x-goog-authenticated-", "x-ms-client-principal", "x-pomerium-",
    "x-remote-", "x-ssl-client-", "x-vouch-",
)  # fmt: skip

# They hold one of the words and prove nothing to anybody. A retry must keep its idempotency key (or
# a payment is made twice), a WebSocket its nonce (RFC 6455), UNLOCK its lock (RFC 4918), and an
# object store must hear which key it encrypts with (or it stores under another, or under none).
HARMLESS: Final = frozenset(
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
