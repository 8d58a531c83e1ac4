"""Second credentials, by the names that real tools and proxies use."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.core.credentials import is_credential_parameter, is_withheld, second_credentials
from sidecar.core.model import Call, Refused
from sidecar.core.reasons import Reason
from sidecar.core.target import parse_target
from tests.values import make_call

STRIPPED = [
    # keys, tokens, secrets
    "api-key", "api_key", "apikey", "x-api-key", "x_api_key", "x.api.key", "x-apikey",
    "x-auth-key", "x-auth-token", "x-access-token", "x-goog-api-key", "x-functions-key",
    "x-rapidapi-key", "x-mbx-apikey", "xi-api-key", "dd-api-key", "dd-application-key",
    "apca-api-secret-key", "fastly-key", "ocp-apim-subscription-key", "x-nuget-apikey",
    "private-token", "job-token", "deploy-token", "x-vault-token", "x-consul-token",
    "x-figma-token", "x-shopify-access-token", "x-plex-token", "kong-admin-token",
    "x-aws-ec2-metadata-token", "x-amz-security-token", "x-parse-session-token",
    "x-parse-master-key", "x-hasura-admin-secret", "x-client-secret", "x-secretkey",
    "x-tableau-auth", "x-zumo-auth", "x-github-otp", "x-jfrog-art-api", "x-password", "x-sig",
    # sessions
    "cookie", "cookie2", "x-csrf-token", "x-xsrf-token", "x-session-id", "mcp_session_id",
    # tokens of other authorities
    "proxy-authorization", "x-authorization", "x-forwarded-authorization", "authorization_", "dpop",
    "x-goog-iap-jwt-assertion", "x-amzn-oidc-accesstoken", "x-amzn-oidc-data",
    "x-ms-token-aad-id-token", "x-forwarded-access-token", "cf-access-jwt-assertion",
    "x-serverless-authorization", "x-amz-user-token",
    # who somebody is, as a proxy says it
    "x-forwarded-client-cert", "x_forwarded_client_cert", "x-client-cert", "x-arr-clientcert",
    "x-ssl-client-cert", "x-forwarded-user", "x-forwarded-email", "x-remote-user", "remote-user",
    "remote_user", "x-webauth-user", "x-authenticated-userid", "x-ms-client-principal",
    "x-goog-authenticated-user-email", "x-amzn-oidc-identity", "x-endpoint-api-userinfo",
]  # fmt: skip

KEPT = [
    "accept", "accept-language", "content-type", "content-length", "user-agent", "traceparent",
    "tracestate", "baggage", "x-request-id", "x-forwarded-for", "x-forwarded-proto", "if-match",
    "etag", "prefer", "x-account-id", "x-tenant", "x-goog-user-project", "x-goog-api-client",
    "x-amz-date", "x-amz-content-sha256", "x-amz-target", "anthropic-version", "openai-beta",
    "x-keyboard", "x-authored-by", "x-tokenizer", "x-github-api-version", "notion-version",
    "mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id", "last-event-id",
    "idempotency-key", "x-idempotency-key", "sec-websocket-key", "sec-websocket-version",
    "surrogate-key", "cache-key", "lock-token", "x-page-token", "x-partition-key",
    "x-envoy-auth-partial-body", "x-envoy-auth-failure-mode-allowed",
    "x-amz-server-side-encryption-aws-kms-key-id", "x-ms-encryption-key",
    "www-authenticate", "access-control-request-headers", "signature", "signature-input",
]  # fmt: skip
REFUSED = [
    "api_key", "apikey", "api-key", "apiKey", "API_KEY", "x-api-key", "access_token",
    "accessToken", "access_key", "AWSAccessKeyId", "auth", "auth_token", "authToken",
    "Authorization", "id_token", "refresh_token", "client_secret", "client_assertion", "password",
    "passwd", "pwd", "passphrase", "secret", "secret_key", "secretKey", "private_key",
    "private_token", "job_token", "session_token", "jwt", "token", "TOKEN", "user_token",
    "bearer", "credentials", "subscription-key", "oauth_token", "otp", "sig", "app_key",
    "X-Amz-Credential", "X-Amz-Security-Token", "X-Amz-Signature", "X-Goog-Signature",
    "api.key", "api_key[]", " api_key", "api_key ", "a\u200bpi_key", "api\u212aey",
]  # fmt: skip

PASSED = [
    "pageToken", "page_token", "nextPageToken", "next_token", "NextToken", "continuationToken",
    "continuation-token", "syncToken", "sync_token", "deltatoken", "$skiptoken", "skipToken",
    "max_tokens", "maxTokens", "tokens", "token_address", "tokenId", "token_type", "key", "keys",
    "keyword", "sortKey", "primary_key", "issueKey", "partitionKey", "public_key", "code",
    "country_code", "session", "sessionId", "session_id", "sid", "ticket", "pass", "state", "id",
    "author", "authors", "authority", "oauth_client", "signature", "cursor", "q", "cookies",
    "secretary", "jwtAlgorithm", "passwordPolicy", "otpLength", "",
]  # fmt: skip


def stripped(call: Call) -> tuple[str, ...]:
    names = second_credentials(call)
    assert not isinstance(names, Refused)
    return names


def asking(*names: str, credentials: frozenset[str] = frozenset()) -> Call:
    """A call whose query holds these parameters, decoded."""
    call = make_call(credentials=credentials)
    query = tuple((name, "v") for name in names)
    return replace(call, request=replace(call.request, query=query))


@pytest.mark.parametrize("name", STRIPPED)
def test_header_is_stripped_when_a_tool_could_honour_it(name: str) -> None:
    """Whatever proves or says who somebody is does not get past us beside the token."""
    assert stripped(make_call(headers={name: b"v"})) == (name,)


@pytest.mark.parametrize("name", KEPT)
def test_header_is_kept_when_it_proves_nothing(name: str) -> None:
    """A part of a word is nothing, and some names that hold a whole one are harmless."""
    assert stripped(make_call(headers={name: b"v"})) == ()


@pytest.mark.parametrize("name", STRIPPED)
def test_header_is_kept_when_the_route_lists_it(name: str) -> None:
    """The operator's word for this very name, and for no other."""
    headers = {name: b"v", "x-other-token": b"v"}
    call = make_call(headers=headers, credentials=frozenset({name}))

    assert stripped(call) == ("x-other-token",)


def test_headers_are_stripped_in_order_and_without_the_token_itself() -> None:
    """``authorization`` is settled elsewhere; what is not there is not stripped."""
    headers = {"x-b-token": b"v", "cookie": b"v", "accept": b"v", "x-a-key": b"v"}

    assert stripped(make_call(headers=headers)) == ("cookie", "x-a-key", "x-b-token")
    assert stripped(make_call()) == ()


def test_header_is_kept_when_it_names_the_routes_session() -> None:
    """A session is pinned, not stripped; another route's is."""
    headers = {"x-session-id": b"v"}

    assert stripped(make_call(headers=headers, session_header="x-session-id")) == ()
    assert stripped(make_call(headers=headers)) == ("x-session-id",)


@pytest.mark.parametrize("name", ["x-\\xff-token", "x a-token", "x-tokén-key", "x-key-\n"])
def test_header_is_refused_when_envoy_could_not_take_it_away(name: str) -> None:
    """A name that is not the one on the wire removes nothing."""
    refused = second_credentials(make_call(headers={name: b"s3cr3t"}))

    assert isinstance(refused, Refused)
    assert refused.reason is Reason.CREDENTIAL_REFUSED
    assert "s3cr3t" not in refused.detail


@pytest.mark.parametrize("name", REFUSED)
def test_query_is_refused_when_it_holds_a_credential(name: str) -> None:
    """By the decoded name, however it is spelled."""
    refused = second_credentials(asking("q", name))

    assert isinstance(refused, Refused)
    assert refused.reason is Reason.CREDENTIAL_REFUSED
    assert refused.detail == f"parameter {name!r}"


@pytest.mark.parametrize("name", PASSED)
def test_query_passes_when_the_name_means_something_else_to_real_tools(name: str) -> None:
    """Pages, records, countries and sessions have names that hold the same words."""
    assert second_credentials(asking("q", name)) == ()


@pytest.mark.parametrize("name", REFUSED)
def test_query_passes_when_the_route_lists_the_name(name: str) -> None:
    """In any case, and in this spelling only."""
    listed = frozenset({name.lower()})

    assert second_credentials(asking(name, credentials=listed)) == ()
    assert isinstance(second_credentials(asking(name, "jw-t", credentials=listed)), Refused)


@pytest.mark.parametrize(
    "query", [b"a=1&%61pi_key=x", b"api%5Fkey", b"q=1&&+api_key=x", b"api_key%00=x", b"a=1&API_KEY"]
)
def test_query_is_refused_when_the_name_is_encoded(query: bytes) -> None:
    """As ``core.target`` decodes it from the wire."""
    target = parse_target(b"/?" + query)
    assert not isinstance(target, Refused)
    call = make_call()
    call = replace(call, request=replace(call.request, query=target.query))

    assert isinstance(second_credentials(call), Refused)


def test_query_is_refused_without_its_value_and_by_a_part_of_its_name() -> None:
    """A record holds no secret, and no name that fills it."""
    name = "api" + "_" * 5000 + "key"
    call = make_call()
    call = replace(call, request=replace(call.request, query=((name, "s3cr3t"),)))
    refused = second_credentials(call)

    assert isinstance(refused, Refused)
    assert "s3cr3t" not in refused.detail
    assert len(refused.detail) < 300


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x-api-key", True),
        ("x_api_key", True),
        ("idempotency-key", True),
        ("mcp-session-id", False),
        ("accept", False),
        ("x.api.key", True),
        ("x-forwarded-client-cert", True),
    ],
)
def test_header_is_withheld_from_policy_by_its_words(name: str, *, said: bool) -> None:
    """What policy is told less for: some harmless names, and all that stays from the tool."""
    assert is_withheld(name) is said


@pytest.mark.parametrize(
    "name",
    [
        *("client-cert", "client-cert-chain", "ssl-client-verify", "x-ssl-client-s-dn"),
        "x-forwarded-tls-client-cert-info",
        *("cf-access-authenticated-user-email", "remote-email", "x-authentik-username"),
        *("x-pomerium-claim-email", "x-consumer-username", "x-authenticated-scope"),
        *("oidc-claim-sub", "tailscale-user-login", "x-vouch-user", "x-proxy-user"),
        *("x-spiffe-id", "x-ms-client-principal-idp", "impersonate-user", "x-scope-orgid"),
        *("x-api-keys", "x-sessionid", "jsessionid", "x-passcode", "x-pat"),
    ],
)
def test_header_is_taken_away_when_a_tool_could_believe_it(name: str) -> None:
    """What proxies say of users and certificates, and keys by other words."""
    call = make_call(headers={name: b"x"})

    assert second_credentials(call) == (name,)


@pytest.mark.parametrize(
    "name", ["credentials[apiKey]", "a[access_token]", "a.password", "hapikey", "PHPSESSID", "pat"]
)
def test_parameter_is_a_credential_when_a_part_of_its_name_is(name: str) -> None:
    """Frameworks make objects of names in brackets."""
    assert is_credential_parameter(name)


@pytest.mark.parametrize("name", ["pageToken", "items[key]", "sort.key", "path", "patch", "a[]"])
def test_parameter_is_none_when_no_part_of_its_name_is(name: str) -> None:
    """What lists and objects are made of."""
    assert not is_credential_parameter(name)


@pytest.mark.parametrize("segment", ["a;jsessionid=1", "a;x=1;api_key=2", ";access_token"])
def test_path_is_refused_when_a_parameter_of_it_is_a_credential(segment: str) -> None:
    """RFC 3986, section 3.3: some servers read them (Java's session in the path)."""
    call = make_call()
    with_parameter = replace(call, request=replace(call.request, segments=("files", segment)))
    listed = replace(
        with_parameter, credentials=frozenset({"jsessionid", "api_key", "access_token"})
    )

    assert isinstance(second_credentials(with_parameter), Refused)
    assert second_credentials(listed) == ()


@pytest.mark.parametrize(
    ("kind", "body", "refused"),
    [
        (b"application/x-www-form-urlencoded", b"a=1&access_token=x", True),
        (b"Application/X-WWW-Form-Urlencoded; charset=utf-8", b"access%5Ftoken=x", True),
        (b"application/x-www-form-urlencoded", b"a=access_token&b=2", False),
        (b"application/json", b"access_token=x", False),
    ],
)
def test_form_is_refused_when_it_holds_an_access_token(
    kind: bytes, body: bytes, *, refused: bool
) -> None:
    """RFC 6750, section 2.2: a second token by the second method."""
    call = make_call(headers={"content-type": kind})
    call = replace(call, request=replace(call.request, body=body))

    assert isinstance(second_credentials(call), Refused) is refused
