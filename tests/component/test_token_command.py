"""``scopegate token inspect`` as an operator runs it: the gate's own checks, real files."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sidecar.cli import app
from sidecar.config.build import load_configuration
from sidecar.core.capabilities import capability_hash
from sidecar.core.model import Scope
from tests.chains import before, chain_claims
from tests.jwks_server import JwksServer, hang_up
from tests.tokens import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    NOW,
    Signer,
    make_claims,
    make_header,
    make_token,
    sign_compact,
    signer,
)

SCOPEGATE = Path(sys.executable).parent / "scopegate"
AT = ("--at", str(int(NOW) + 5))
CATALOGUE = f"""\
version: 1
routes:
  - name: orders
    path: /orders/{{order}}
    audience: {AUDIENCE}
    outages: [{{when: sidecar, access: read, stance: closed, reason: no guard}}]
    operations:
      GET: {{scope: "read:orders:{{order}}"}}
      PUT: {{scope: "write:orders:{{order}}"}}
      DELETE: {{scope: "delete:orders:{{order}}", risk: high}}
      PATCH: {{scope: "write:orders:{{order}}", risk: batch}}
  - name: globex
    path: /globex/{{item}}
    audience: {AUDIENCE}
    tenant: globex
    operations:
      GET: {{scope: "read:orders:{{item}}"}}
  - name: bound
    path: /bound
    audience: bound
    bind: [certificate, dpop]
    operations:
      GET: {{scope: "read:orders:bound", single_use: true}}
  - name: shop
    protocol: mcp
    path: /mcp
    audience: shop
    server: shop
servers:
  shop:
    methods:
      tools/list: {{scope: "read:orders:list"}}
    tools:
      refund: {{scope: "write:orders:o-1"}}
"""
OTHER = ISSUER.replace("issuer", "other")
PLAIN = f"""\
  - name: test
    issuer: {ISSUER}
    jwks: {{file: jwks.json}}
    algorithms: [EdDSA, ES256]
    tenants: [acme, globex]
    ceiling: ["read:orders:*", "write:orders:*", "delete:orders:*"]
    max_lifetime: 300
    leeway: 0
"""
SETTINGS = f"""\
version: 1
catalogue: catalogue.yaml
policy: {{paths: [policies]}}
dpop: {{origins: ["https://orders.test"]}}
lifetimes:
  high: {{max_age: 60, max_lifetime: 400}}
issuers:
{PLAIN}"""


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def verdict(self) -> str:
        return self.out.splitlines()[-1]

    @property
    def flat(self) -> str:
        """The output with single spaces."""
        return " ".join(self.out.split())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings with one issuer, whose keys are those of ``signer``."""
    (tmp_path / "catalogue.yaml").write_text(CATALOGUE)
    (tmp_path / "policies").mkdir()
    rego = 'package scopegate\n\nimport rego.v1\n\nruling := {"action": "deny"}\n'
    (tmp_path / "policies" / "ruling.rego").write_text(rego)
    publish(tmp_path, signer(), signer("ES256"))
    path = tmp_path / "settings.yaml"
    path.write_text(SETTINGS)
    return path


def publish(folder: Path, *signers: Signer, **members: Any) -> None:
    """Write the issuer's JWK Set; ``members`` go into every key."""
    keys = [{**one.jwk, **members} for one in signers]
    (folder / "jwks.json").write_text(json.dumps({"keys": keys}))


def inspect(token: bytes, *arguments: str | Path, prefix: bytes = b"") -> Said:
    """Run the command; nothing that it ever prints is of use to a thief or moves a cursor."""
    runner = CliRunner()
    command = ["token", "inspect", *map(str, arguments)]
    ran = runner.invoke(app, command, input=prefix + token + b"\n")
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    check_secrecy(token, ran.stdout + ran.stderr)
    return Said(ran.exit_code, ran.stdout, ran.stderr)


def check_secrecy(token: bytes, printed: str) -> None:
    """Neither the segments nor the signature are there, and every character is harmless."""
    for segment in token.split(b"."):
        if len(segment) > 8:
            assert segment.decode("latin-1") not in printed
    assert all(character == "\n" or " " <= character <= "~" for character in printed)


def judged(token: bytes, config: Path, *arguments: str, prefix: bytes = b"") -> Said:
    return inspect(token, "--config", config, *AT, *arguments, prefix=prefix)


def as_json(token: bytes, config: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(judged(token, config, "--json", *arguments).out)
    return found


# --- without settings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix", [b"", b"  \n", b"Bearer ", b"bearer  ", b"Authorization: Bearer ", b"DPoP "]
)
def test_inspect_reads_a_token_when_it_stands_as_in_a_header(prefix: bytes) -> None:
    """White space and the scheme are no part of the token; it is shown as JSON, without more."""
    said = inspect(make_token(), *AT, prefix=prefix)

    assert (said.status, said.verdict) == (0, "well-formed; no more was checked")
    assert '"alg": "EdDSA"' in said.out
    assert '"jti": "jti-1"' in said.out
    assert "exp 2027-01-15 08:05:00 UTC, in 5 min" in said.flat
    assert "iat 2027-01-15 08:00:00 UTC, 5 s ago" in said.flat


def test_inspect_reads_a_file_when_it_is_named(tmp_path: Path) -> None:
    """``--token-file`` is read instead of standard input; ``-`` is standard input."""
    file = tmp_path / "token.txt"
    file.write_bytes(b"Bearer " + make_token() + b"\n")

    assert inspect(b"", "--token-file", file).status == 0
    assert inspect(make_token(), "--token-file", "-").status == 0
    assert inspect(make_token(), "-").status == 0


@pytest.mark.parametrize(
    "command",
    [
        lambda token: ["token", "inspect", token],
        lambda token: ["token", "inspect", "Bearer", token],
        lambda token: ["token", "inspect", f"Bearer {token}"],
        lambda token: ["token", "inspect", "--token-file", token],
        lambda token: ["token", token],
    ],
)
def test_inspect_refuses_and_repeats_nothing_when_the_token_is_an_argument(
    command: Callable[[str], list[str]],
) -> None:
    """Others see arguments: it says so, and does not put the token into a log a second time."""
    token = make_token()
    ran = CliRunner().invoke(app, command(token.decode()), input=b"")

    check_secrecy(token, ran.stdout + ran.stderr)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "a token is no argument: others see arguments" in ran.stderr


def test_inspect_repeats_nothing_when_an_option_is_made_up() -> None:
    """``--token`` is no option, and its value is nowhere."""
    token = make_token()
    command = ["token", "inspect", f"--token={token.decode()}"]
    ran = CliRunner().invoke(app, command)

    assert ran.exit_code == 2
    assert token.decode() not in ran.stdout + ran.stderr
    assert token.rpartition(b".")[2].decode()[:20] not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "standard input holds no token"),
        (("--token-file", "/nowhere/at-all"), "/nowhere/at-all cannot be read: No such file"),
        (("--token-file", "/dev/null"), "/dev/null is no regular file"),
        (("--route", "orders"), "--route, --method, --path and --tool need --config"),
        (("--at", "yesterday"), "--at: must be a time such as 2027-01-15T08:00:00Z"),
        (("--at", "nan"), "--at: must be a time such as 2027-01-15T08:00:00Z"),
    ],
)
def test_inspect_says_what_is_wrong_with_the_command(arguments: tuple[str, ...], says: str) -> None:
    """Each mistake has its message and exit status 2, which no token has."""
    said = inspect(b"", *arguments)

    assert (said.status, said.out) == (2, "")
    assert says in " ".join(said.err.split())


@pytest.mark.parametrize(
    ("token", "looks", "says"),
    [
        (b"opaque-0123456789", "no signed JWT", "a signed JWT has three parts"),
        (b"a.b.c.d.e", "an encrypted token (JWE, RFC 7516)", "not three segments"),
        (make_token(header={"alg": ABSENT}), "a plain JWT", "an unsigned token is none"),
        (make_token(header={"crit": ["x"]}), "a plain JWT", "header: crit is not accepted"),
        (make_token() + b"=", "a plain JWT", "is there white space, a quote"),
        (make_token() + b", x", "a plain JWT", "a comma: two tokens, or none"),
        (make_token(note="x" * 9000), "a plain JWT", "longer than 8192 bytes"),
        (make_token(header={"typ": "dpop+jwt", "jwk": {}}), "a DPoP proof", "jwk is not accepted"),
    ],
)
def test_inspect_says_what_is_wrong_when_the_form_is(token: bytes, looks: str, says: str) -> None:
    """The gate's refusal of the form, and what it means; exit status 1."""
    said = inspect(token)

    assert (said.status, said.verdict) == (1, "malformed; no more was checked")
    assert f"looks like {looks}" in said.out
    assert "form refused: token_malformed" in said.flat or "token_ambiguous" in said.flat
    assert says in said.flat


@pytest.mark.parametrize(
    ("claims", "header", "looks"),
    [
        ({"nonce": "n"}, {}, "an ID token"),
        ({"typ": "ID"}, {}, "an ID token"),
        ({"typ": "Refresh"}, {}, "a refresh token"),
        ({"events": {}}, {}, "a security event token"),
        ({"typ": "Logout"}, {}, "a logout token"),
        ({}, {"typ": "application/AT+JWT"}, "an access token of RFC 9068"),
        ({"realm_access": {}}, {}, "an access token of Keycloak"),
        ({"kubernetes.io": {}}, {}, "a service account's token of Kubernetes"),
        ({"orch_id": "o"}, {}, "a token of AgentWrit"),
        ({"scope": ABSENT}, {}, "a JWT-SVID of SPIFFE"),
        ({"htm": "GET"}, {}, "a DPoP proof"),
        ({}, {}, "a plain JWT"),
    ],
)
def test_inspect_guesses_what_a_token_is(
    claims: dict[str, Any], header: dict[str, Any], looks: str
) -> None:
    """By its header and its claims, before anybody knows the issuer."""
    said = inspect(make_token(header=header, **claims))

    assert said.out.startswith(f"looks like {looks}")


REAL = Path(__file__).parents[1] / "vectors" / "issuers"
NO_ACCESS = {
    "dpop_proof": "a DPoP proof",
    "id_token": "an ID token",
    "logout_token": "a logout token",
    "refresh_token": "a refresh token",
}


def test_inspect_knows_every_real_token_by_its_look() -> None:
    """What the issuers themselves minted: the profile of each, and what is no access token."""
    files = sorted(REAL.glob("*/*.txt"))

    assert {file.parent.name for file in files} == set(PROFILES)
    for file in files:
        said = inspect(file.read_bytes().strip(), *AT, "--json")
        looks = json.loads(said.out)["looks_like"]
        if file.stem in NO_ACCESS:
            assert looks["profile"] is None, file
            assert looks["words"].startswith(NO_ACCESS[file.stem]), file
        else:
            assert looks["profile"] == file.parent.name, file


def test_inspect_moves_no_terminal_when_claims_hold_escapes(config: Path) -> None:
    """Control characters, also DEL and C1, and marks of direction are shown as JSON escapes."""
    nasty = "\x1b]0;owned\x07\x1b[31m\x7f\x9b31m\u202e\r\nsteps"
    more: dict[str, Any] = {nasty: nasty}
    token = make_token(jti=nasty, aud=nasty, tenant=nasty, header={"kid": nasty}, **more)

    assert "\\u001b[31m\\u007f\\u009b31m\\u202e\\r\\nsteps" in inspect(token).out
    assert judged(token, config).status == 1
    assert judged(token, config, "--json").status == 1


def test_inspect_shows_nothing_that_could_be_used_when_claims_hold_secrets() -> None:
    """A token inside of a claim, a private key and a record's signature stay where they are."""
    inner = make_token(jti="inner").decode()
    record = {"agent": "root", "signature": "ab" * 64}
    key = {"kty": "OKP", "crv": "Ed25519", "x": "public", "d": "private-part"}
    said = inspect(
        make_token(note=f"see {inner}", delegation_chain=[record], cnf={"jwk": key}), "--json"
    )

    assert '"note": "see (a token, not shown)"' in said.out
    assert inner.rpartition(".")[2] not in said.out
    assert "abababab" not in said.out
    assert "private-part" not in said.out
    assert '"x": "public"' in said.out


def test_inspect_says_so_when_a_part_cannot_be_read() -> None:
    """Where two parsers could read two things, neither is shown."""
    token = sign_compact(b'{"alg":"EdDSA"}', b'{"sub":"a","sub":"b"}')
    said = inspect(token)

    assert "payload: cannot be read" in said.out
    assert "token_malformed: payload: a member stands twice" in said.flat


# --- as the gate judges ------------------------------------------------------------------------


def test_inspect_tells_every_step_when_all_is_well(config: Path) -> None:
    """Each step of the gate, and which operations the scopes reach."""
    said = judged(make_token(), config)

    assert (said.status, said.verdict) == (0, "would be accepted at orders")
    for step in ("form", "signature", "claims", "minted for"):
        assert f"{step} ok" in said.flat
    assert "issuer ok: test, profile plain" in said.flat
    assert 'key ok: kid "eddsa-1", EdDSA' in said.flat
    assert "orders ok: GET, PUT, PATCH" in said.flat
    assert "PUT ok wants write:orders:{order}, covered by write:orders:o-1 (write)" in said.flat
    assert "DELETE refused: insufficient_scope: wants delete:orders:{order}" in said.flat
    assert "the token holds read:orders:*, write:orders:o-1" in said.flat
    assert "globex refused: tenant_mismatch: acme; the route takes globex the route is" in said.flat
    assert f'aud holds "{AUDIENCE}"; the route wants "shop"' in said.flat
    assert "not asked here: the deny list, the policy, and what was used before" in said.out


LATE: dict[str, Any] = {"now": NOW - 1000}
NO_SCOPE = "1 to 100 scopes such as read:orders:*"


@pytest.mark.parametrize(
    ("token", "reason", "hint"),
    [
        (make_token(iss=OTHER), "issuer_unknown", f"did you mean '{ISSUER}'?"),
        (make_token(iss=ABSENT), "issuer_unknown", "it has no iss, and its sub is no SPIFFE id"),
        (
            make_token(by=signer("RS256")),
            "algorithm_refused",
            'alg is "RS256"; test may use ES256 or EdDSA (algorithms:)',
        ),
        (
            make_token(header={"typ": "JOSE"}),
            "type_refused",
            'typ is "JOSE"; the issuer\'s profile wants at+jwt or jwt (types:)',
        ),
        (
            make_token(typ="ID"),
            "type_refused",
            "another kind of token; the caller has to send its access token",
        ),
        (make_token(header={"kid": "k"}), "key_unknown", 'publishes "eddsa-1", "es256-1"; was'),
        (make_token(header={"kid": ABSENT}), "key_unknown", "the issuer has several keys"),
        (
            make_token(by=signer("EdDSA", "2"), header={"kid": "eddsa-1"}),
            "signature_invalid",
            "it was changed or cut off, or another key of the same name signed it",
        ),
        (
            make_token(header={"kid": "es256-1"}),
            "algorithm_refused",
            "the key that it names is for another algorithm than its header says",
        ),
        (make_token(**LATE), "token_expired", "exp was 12 min ago; 0 s are forgiven (leeway:)"),
        (make_token(nbf=int(NOW) + 65), "token_not_yet_valid", "nbf is in 60 s, and 0 s are"),
        (make_token(iat=int(NOW) - 3300), "lifetime_exceeded", "is 3600 s; max_lifetime is 300"),
        (make_token(aud=ABSENT), "audience_refused", "it has no aud (audience: optional takes"),
        (make_token(aud=[]), "audience_refused", "aud is []: not a text, or an array of texts"),
        (make_token(aud="other"), "audience_refused", f'"other"; the route wants "{AUDIENCE}"'),
        (make_token(tenant="evil"), "tenant_not_of_issuer", "test speaks for acme, globex"),
        (make_token(tenant=ABSENT), "tenant_not_of_issuer", "tenant is nothing; test speaks"),
        (make_token(scope=["rm:all:x"]), "scope_above_ceiling", "test may grant read:orders:*"),
        (make_token(scope=ABSENT), "claim_invalid", f"scope is missing; it has to be {NO_SCOPE}"),
        (make_token(jti=ABSENT), "claim_invalid", "jti is missing; it has to be a text of 1"),
        (make_token(sid="a b"), "claim_invalid", 'sid is "a b"; it has to be a text of 1 to 256'),
        (make_token(exp="soon"), "claim_invalid", 'exp is "soon"; it has to be a date: a number'),
        (make_token(single_use=1), "claim_invalid", "single_use is 1; it has to be true or false"),
        (make_token(act={}), "delegation_refused", "forms of delegation taken: act (delegation:)"),
        (make_token(cnf={"kid": "x"}), "binding_refused", "cnf: 'kid' is not supported"),
    ],
)
def test_inspect_says_why_when_the_gate_would_refuse(
    config: Path, token: bytes, reason: str, hint: str
) -> None:
    """The gate's reason word, and what it means for this token and these settings; status 1."""
    said = judged(token, config)

    assert said.status == 1
    assert said.verdict.startswith(f"would be refused: {reason}")
    assert f" refused: {reason}" in said.flat
    assert hint in said.flat


def test_inspect_tells_everything_that_is_wrong_at_once(config: Path) -> None:
    """Not only what the gate stumbles on first, so that an issuer is set right in one go."""
    token = make_token(
        now=NOW - 1000,
        header={"typ": "JOSE"},
        exp=int(NOW),
        jti=ABSENT,
        task_id="a b",
        tenant="evil",
        scope=["rm:all:x", "rm:all:y", "read:orders:*"],
        cnf={},
        act={},
    )
    found = as_json(token, config)

    refused = [(one["reason"], one["detail"]) for one in found["steps"] if one["reason"]]
    assert refused == [
        ("type_refused", "typ 'jose'"),
        ("token_expired", None),
        ("lifetime_exceeded", "1000.0 s"),
        ("claim_invalid", "jti"),
        ("claim_invalid", "task_id"),
        ("tenant_not_of_issuer", "tenant of test"),
        ("scope_above_ceiling", "rm:all:x"),
        ("scope_above_ceiling", "rm:all:y"),
        ("delegation_refused", "act.sub is not a text"),
        ("binding_refused", "cnf is no object, or empty"),
    ]
    assert found["good"] is False


def test_inspect_says_so_when_the_form_is_wrong_and_there_are_settings(config: Path) -> None:
    """The gate looks no further, and neither does this."""
    said = judged(make_token(header={"crit": ["x"]}), config)

    assert (said.status, said.verdict) == (1, "would be refused: token_malformed")
    assert "header: crit is not accepted" in said.flat
    assert "issuer" not in said.out.partition("\nsteps\n")[2]


def test_inspect_moves_no_terminal_when_a_header_has_names_of_its_own(config: Path) -> None:
    """A hint that lists the members of a header escapes them, too."""
    token, settings = PROFILES["spiffe"]
    config.with_name("catalogue.yaml").write_text(CATALOGUE.partition("  - name: globex")[0])
    config.write_text(settings)
    more: dict[str, Any] = {"\x1b[2J": 1}
    token = minted(signer("ES256"), bare(iss=ABSENT), **more)
    said = judged(token, config)

    assert "type_refused" in said.verdict
    assert "this profile's tokens have no \\u001b[2J in their header" in said.flat


def test_inspect_says_once_what_cannot_be_put_right(config: Path) -> None:
    """A token that ended before it began is expired at every time; no route is judged by it."""
    found = as_json(make_token(exp=int(NOW) - 10), config)

    reasons = [one["reason"] for one in found["steps"] if one["reason"]]
    assert (reasons, found["routes"], found["good"]) == (["token_expired"], None, False)


def test_inspect_says_both_when_header_is_wrong_twice(config: Path) -> None:
    """An algorithm and a type that the profile does not take are two things to put right."""
    token = make_token(by=signer("RS256"), header={"typ": "x"})

    assert "algorithm_refused, type_refused" in judged(token, config).verdict


def test_inspect_names_the_profile_that_fits_better(config: Path) -> None:
    """A token of Keycloak under the plain profile: the settings are what is wrong."""
    said = judged(make_token(realm_access={}), config)

    assert "profile plain; the token looks like profile keycloak" in said.flat


# --- for which calls ---------------------------------------------------------------------------


def test_inspect_judges_one_call_when_route_method_and_path_are_given(config: Path) -> None:
    """As the gate reads the path: another order is out of reach."""
    ask = ("--route", "orders", "--method", "PUT", "--path")
    mine = judged(make_token(), config, *ask, "/orders/o-1?all=1")
    other = judged(make_token(), config, *ask, "/orders/o-2")

    assert (mine.status, mine.verdict) == (0, "would be accepted at orders")
    assert "PUT ok wants write:orders:o-1" in mine.flat
    assert (other.status, other.verdict) == (1, "would be refused: insufficient_scope")
    assert "orders refused: insufficient_scope: wants write:orders:o-2" in other.flat


@pytest.mark.parametrize(
    ("ask", "status", "says"),
    [
        (("--route", "orders", "--method", "GET"), 0, "orders ok: GET"),
        (("--route", "orders", "--method", "HEAD"), 0, "orders ok: GET"),
        (("--route", "orders", "--path", "/elsewhere"), 1, "operation_unknown: the path is not"),
        (("--route", "orders", "--path", "//"), 1, "path_malformed: empty segment"),
        (("--route", "shop", "--tool", "refund"), 0, "shop ok: tool refund"),
        (("--route", "shop", "--tool", "refund", "--path", "/mcp"), 0, "shop ok: tool refund"),
        (("--route", "shop", "--method", "tools/list"), 0, "shop ok: tools/list"),
        (("--route", "shop", "--method", "tools/list", "--path", "/mcp"), 0, "ok: tools/list"),
    ],
)
def test_inspect_judges_the_calls_that_are_asked_about(
    config: Path, ask: tuple[str, ...], status: int, says: str
) -> None:
    """HTTP methods, MCP methods and tools, with and without a path."""
    said = judged(make_token(aud=[AUDIENCE, "shop"]), config, *ask)

    assert (said.status, says in said.flat) == (status, True)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (("--route", "order"), "--route: is not known; did you mean 'orders'?"),
        (("--route", "orders", "--method", "POST"), "orders offers GET, PUT, DELETE, PATCH, and"),
        (("--route", "shop", "--tool", "x"), "shop offers tool refund, tools/list, and not that"),
        (("--path", "/orders/1"), "--method, --path and --tool need --route"),
    ],
)
def test_inspect_says_so_when_there_is_no_such_call(
    config: Path, ask: tuple[str, ...], says: str
) -> None:
    """A typo in the question is no refusal of the token."""
    said = judged(make_token(), config, *ask)

    assert (said.status, said.out, says in said.err) == (2, "", True)


def test_inspect_says_so_when_the_token_is_too_old_for_a_call(config: Path) -> None:
    """Its age is judged by each operation's risk, with the setting that says so."""
    token = make_token(scope=["delete:orders:*", "write:orders:*"], task_id=ABSENT)
    said = inspect(token, "--config", config, "--at", "2027-01-15T08:02:00Z", "--route", "orders")

    assert said.status == 0
    assert "DELETE refused: token_too_old: 120.0 s" in said.flat
    assert "iat was 2 min ago" in said.flat
    assert "may be as old as 60 s (lifetimes.high.max_age)" in said.flat
    assert "PATCH refused: claim_invalid: a batch operation wants a token with a task" in said.flat


def test_inspect_says_so_when_a_token_lives_too_long_for_a_call(config: Path) -> None:
    """Minted for longer than the risk of a call allows, though not longer than its issuer may."""
    config.write_text(SETTINGS.replace("max_lifetime: 300", "max_lifetime: 900"))
    token = make_token(scope=["delete:orders:*"], exp=int(NOW) + 600)
    said = judged(token, config, "--route", "orders", "--method", "DELETE")

    assert said.status == 1
    assert "lifetime_exceeded: 600.0 s" in said.flat
    assert "tokens for such calls may live for 400 s (lifetimes.high.max_lifetime)" in said.flat


# --- binding, and what it was minted for -------------------------------------------------------

PRINT = "A" * 43


@pytest.mark.parametrize(
    ("cnf", "needs"),
    [
        ({"jkt": PRINT}, [f"Authorization: DPoP, and a proof by the key {PRINT}"]),
        ({"x5t#S256": PRINT}, [f"the client certificate whose x5t#S256 is {PRINT}"]),
        (
            {"jkt": PRINT, "x5t#S256": PRINT},
            [
                f"the client certificate whose x5t#S256 is {PRINT}",
                f"Authorization: DPoP, and a proof by the key {PRINT}",
                (
                    f"the client certificate whose x5t#S256 is {PRINT} or "
                    f"Authorization: DPoP, and a proof by the key {PRINT}"
                ),
            ],
        ),
    ],
)
def test_inspect_says_what_the_caller_must_show(
    config: Path, cnf: dict[str, str], needs: list[str]
) -> None:
    """All that the token is bound to, and one of what the route asks for."""
    found = as_json(make_token(aud="bound", cnf=cnf), config, "--route", "bound")

    (route,) = found["routes"]
    assert (route["result"], found["good"]) == ("ok", True)
    assert route["operations"][0]["needs"] == needs
    assert route["operations"][0]["single_use"] is True


def test_inspect_says_so_when_no_caller_could_show_what_is_asked(config: Path) -> None:
    """A route that wants a certificate or a proof takes no token without ``cnf``."""
    said = judged(make_token(aud="bound"), config, "--route", "bound")

    assert (said.status, said.verdict) == (1, "would be refused: binding_refused")
    assert "binding_refused: the route wants certificate or dpop" in said.flat
    assert "no caller can show that: the token has to be minted for it (cnf)" in said.flat


@pytest.mark.parametrize("who", ["issuer", "tenant"])
def test_inspect_says_what_issuer_and_tenant_ask_of_callers(config: Path, who: str) -> None:
    """A SPIFFE id can be shown by its own agent only; who came first, by anybody."""
    ask = "bind: [spiffe]"
    lines = f"    {ask}\n" if who == "issuer" else f"tenants: {{acme: {{{ask}}}}}\n"
    config.write_text(SETTINGS + lines)
    mine = as_json(make_token(), config, "--route", "orders")
    nobody = judged(make_token(sub="somebody"), config, "--route", "orders")

    needs = mine["routes"][0]["operations"][0]["needs"]
    assert needs == ["a client certificate for spiffe://acme.test/agent/a1"]
    assert f"binding_refused: the {who} wants spiffe" in nobody.flat
    config.write_text(config.read_text().replace("[spiffe]", "[first_peer]"))
    first = as_json(make_token(), config, "--route", "orders")
    assert first["routes"][0]["operations"][0]["needs"] == ["the caller that came with it first"]


def test_inspect_refuses_when_it_is_sent_as_dpop_and_bound_to_no_key(config: Path) -> None:
    """The scheme that stood before the token is judged, too."""
    said = judged(make_token(), config, prefix=b"DPoP ")

    assert (said.status, said.verdict) == (1, "would be refused: binding_refused")
    assert "sent as DPoP, but bound to no key" in said.flat
    assert judged(make_token(cnf={"jkt": PRINT}), config, prefix=b"DPoP ").status == 0


def test_inspect_compares_what_the_token_was_minted_for(config: Path) -> None:
    """The right hash passes; another is marked or refused as settings say, and ours is told."""
    catalogue = load_configuration(config, {}).catalogue
    held = (Scope("read", "orders", "*"), Scope("write", "orders", "o-1"))
    right = capability_hash(catalogue, "acme", held)

    assert "minted for ok" in judged(make_token(capability_hash=right), config).flat
    marked = judged(make_token(capability_hash="old"), config)
    assert marked.status == 0
    assert f"passes, marked stale_capabilities here it is capability_hash {right}" in marked.flat
    config.write_text(SETTINGS + "    capability_hash: require\n")
    refused = judged(make_token(capability_hash="old"), config)
    assert (refused.status, refused.verdict) == (1, "would be refused: stale_capabilities")
    assert f"it says old, no policy_version; here it is capability_hash {right}" in refused.flat
    assert judged(make_token(), config).status == 1


def test_inspect_compares_the_policy_that_the_token_was_minted_under(config: Path) -> None:
    """The revision of the policies on disk; where they do not load, nobody says that it fits."""
    config.write_text(SETTINGS + "    policy_version: require\n")
    old = judged(make_token(policy_version="old"), config)
    assert old.verdict == "would be refused: stale_policy"
    now = old.flat.partition(", policy ")[2].partition(";")[0]

    assert judged(make_token(policy_version=now), config).status == 0
    (config.parent / "policies" / "ruling.rego").write_text("no rego")
    broken = judged(make_token(policy_version=now), config)
    assert (broken.status, "the policies cannot be loaded" in broken.flat) == (1, True)


# --- keys --------------------------------------------------------------------------------------


def test_inspect_goes_on_unverified_when_there_are_no_keys(config: Path) -> None:
    """It says that nothing is verified, looks at the rest, and never says accepted."""
    (config.parent / "jwks.json").unlink()
    said = judged(make_token(jti=ABSENT), config)
    fine = judged(make_token(), config)

    assert "key unknown: keys_unavailable: they cannot be fetched" in said.flat
    assert "nothing of it is verified" in said.flat
    assert "signature unknown: not verified" in said.flat
    assert said.verdict == "would be refused: keys_unavailable, claim_invalid"
    assert (fine.status, fine.verdict) == (1, "would be refused: keys_unavailable")


def test_inspect_goes_on_when_the_signature_is_not_valid(config: Path) -> None:
    """What else is wrong is told too; a chain that nobody proved is no part of it."""
    chain: dict[str, Any] = {"delegation_chain": [{"agent": "root"}], "chain_hash": "0"}
    token = make_token(by=signer("EdDSA", "2"), header={"kid": "eddsa-1"}, jti=ABSENT, **chain)
    said = judged(token, config)

    assert said.verdict == "would be refused: signature_invalid, claim_invalid"


def test_inspect_says_so_when_a_set_cannot_be_used(config: Path) -> None:
    """A private key in the set: the gate takes none of it, and the key is not repeated."""
    publish(config.parent, signer(), d="leaked-part")
    said = judged(make_token(), config)

    assert (said.status, "they cannot be used: keys[0] has the private member" in said.flat) == (
        1,
        True,
    )
    assert "leaked-part" not in said.out


def test_inspect_says_so_when_the_key_is_published_for_something_else(config: Path) -> None:
    """A key that is there but skipped is no unknown key."""
    keys = [{**signer().jwk, "use": "enc"}, signer("ES256").jwk]
    (config.parent / "jwks.json").write_text(json.dumps({"keys": keys}))

    assert "it is published, but skipped: 'use' is not sig" in judged(make_token(), config).flat


def fetch_from(config: Path, url: str) -> None:
    """Take the issuer's keys from there."""
    config.write_text(SETTINGS.replace("{file: jwks.json}", f'{{url: "{url}"}}'))


async def run(token: bytes, *arguments: str | Path) -> Said:
    """Run the installed command, as a process."""
    process = await asyncio.create_subprocess_exec(
        SCOPEGATE,
        *("token", "inspect", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(token)
    check_secrecy(token, (out + err).decode())
    return Said(process.returncode or 0, out.decode(), err.decode())


async def test_inspect_fetches_the_keys_when_they_are_at_a_url(config: Path) -> None:
    """One fetch by the real client; of an issuer that hangs up, it says so."""
    document = json.dumps({"keys": [signer().jwk]}).encode()
    async with JwksServer(document) as server:
        fetch_from(config, server.url)
        good = await run(make_token(), "--config", config, *AT)
        asked = len(server.requests)
        server.answer = hang_up
        bad = await run(make_token(), "--config", config, *AT)

    assert (good.status, good.verdict, asked) == (0, "would be accepted at orders", 1)
    assert (bad.status, "keys_unavailable: they cannot be fetched" in bad.flat) == (1, True)


# --- profiles ----------------------------------------------------------------------------------


def signed_record(agent: str, scope: list[str], seconds: float) -> dict[str, Any]:
    """One record of a chain, by the key of ``signer``."""
    at = before(seconds)
    text = f"{agent}|{','.join(scope)}|{at}"
    signature = signer().sign(text.encode()).hex()
    return {"agent": agent, "scope": scope, "delegated_at": at, "signature": signature}


def settings_of(profile: str, algorithm: str, more: str, issuer: str = ISSUER) -> str:
    """Settings with one issuer of that profile."""
    head = SETTINGS.partition("issuers:")[0]
    section = PLAIN.replace("[EdDSA, ES256]", f"[{algorithm}]").replace(ISSUER, issuer)
    section = section.replace("[acme, globex]", "[acme]")
    return f"{head}issuers:\n{section}    profile: {profile}\n{more}"


def bare(**claims: Any) -> dict[str, Any]:
    """Claims with nothing that only our own tokens have."""
    ours = ("tenant", "agent_id", "task_id", "sid", "scope", "jti", "nbf")
    return make_claims(**{**dict.fromkeys(ours, ABSENT), **claims})


def minted(by: Signer, claims: Mapping[str, Any], **header: Any) -> bytes:
    headers = make_header(by, **header)
    return sign_compact(json.dumps(headers).encode(), json.dumps(claims).encode(), by=by)


SVID = "spiffe://acme.test/agent/a1"
ACCOUNT = "system:serviceaccount:acme:planner"
GRANT = '    grants: {{"{}": ["read:orders:*"]}}\n'
POD = {"namespace": "acme", "pod": {"name": "p", "uid": "u-1"}}
RECORDS = [
    signed_record("root", ["read:orders:*"], 20),
    signed_record("middle", ["read:orders:*"], 10),
]
PROFILES = {
    "agentwrit": (
        minted(signer(), bare(jti="j", scope=["read:orders:o-1"], **chain_claims(RECORDS))),
        settings_of("agentwrit", "EdDSA", ""),
    ),
    "spiffe": (
        minted(signer("ES256"), bare(iss=ABSENT)),
        settings_of("spiffe", "ES256", GRANT.format(SVID), issuer="spiffe://acme.test"),
    ),
    "keycloak": (
        minted(
            signer("RS256"),
            bare(
                jti="j",
                sub="u-1",
                azp="planner",
                typ="Bearer",
                scope="email orders",
                realm_access={},
            ),
        ),
        settings_of("keycloak", "RS256", '    scopes: {orders: ["read:orders:*"]}\n'),
    ),
    "kubernetes": (
        minted(signer("RS256"), bare(sub=ACCOUNT, **{"kubernetes.io": POD}), typ=ABSENT),
        settings_of("kubernetes", "RS256", GRANT.format(ACCOUNT)),
    ),
    "rfc9068": (
        minted(
            signer("RS256"),
            bare(jti="j", client_id="planner", sub="planner", tenant="acme", scope="read:orders:*"),
            typ="at+jwt",
        ),
        settings_of("rfc9068", "RS256", ""),
    ),
    "plain": (make_token(sub="somebody"), settings_of("plain", "EdDSA", "")),
}


@pytest.mark.parametrize("profile", PROFILES)
def test_inspect_understands_every_profile(config: Path, profile: str) -> None:
    """A token of each kind is known by its look, and passes under its own profile."""
    token, settings = PROFILES[profile]
    catalogue = config.with_name("catalogue.yaml")
    lines = CATALOGUE.partition("  - name: globex")[0]
    catalogue.write_text(lines)
    config.write_text(settings)
    uses = {"use": "jwt-svid"} if profile == "spiffe" else {}  # as SPIFFE's bundles have it
    publish(config.parent, signer(), signer("ES256"), signer("RS256"), **uses)

    found = as_json(token, config, "--route", "orders", "--method", "GET")

    assert found["verdict"] == "would be accepted at orders"
    assert found["looks_like"]["profile"] == profile
    issuer = next(one for one in found["steps"] if one["name"] == "issuer")
    assert issuer["detail"] == f"test, profile {profile}"


def test_inspect_says_when_a_chain_is_not_the_issuers(config: Path) -> None:
    """The token's signature is valid and a record's is not: that is what is said."""
    records = [signed_record("root", ["read:orders:*"], 20)]
    records[0]["agent"] = "boss"
    token = minted(signer(), bare(jti="j", scope=["read:orders:o-1"], **chain_claims(records)))
    config.with_name("catalogue.yaml").write_text(CATALOGUE.partition("  - name: globex")[0])
    config.write_text(PROFILES["agentwrit"][1])
    said = judged(token, config)

    assert said.verdict == "would be refused: delegation_refused"
    assert "the signature of record 1 is not valid" in said.flat


def test_inspect_says_what_is_wrong_with_the_settings(config: Path) -> None:
    """As ``scopegate validate`` does, with exit status 2."""
    config.write_text("version: 2\n")
    said = judged(make_token(), config)

    assert (said.status, said.out) == (2, "")
    assert f"{config}:1: version" in said.err
