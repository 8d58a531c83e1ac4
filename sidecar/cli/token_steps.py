"""The gate's way with one token, step by step, going on where the gate would stop.

Every judgement is the gate's own function; here is only their order, which is the pipeline's, and
what is said of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from sidecar.adapters.regorus_policy import EmbeddedPolicy, PolicyLoadError
from sidecar.cli.issuer_keys import Published, fetch_keys, no_such_key
from sidecar.cli.offers import call_of, offers_of, request_of
from sidecar.cli.plain import span, value
from sidecar.cli.token_claims import Attempt, Examined, examine, header_refusals
from sidecar.cli.token_findings import Findings, Result, RouteStep, Step, ok, refused
from sidecar.cli.token_hints import Circumstances
from sidecar.cli.token_input import Given
from sidecar.cli.token_parts import Kind, Parts, kind_of, parts_of
from sidecar.cli.token_routes import Asked, Judge, routes_asked
from sidecar.config.build import Configuration
from sidecar.core import jws as compact
from sidecar.core.bearer import credential_of
from sidecar.core.capabilities import UNKNOWN, Capabilities, minted_for, minted_under
from sidecar.core.catalogue import Route
from sidecar.core.model import (
    Agent,
    Call,
    Jws,
    Key,
    Protocol,
    Refused,
    Scheme,
    SignedClaims,
)
from sidecar.core.profile import IssuerProfile, Match
from sidecar.core.reasons import Reason
from sidecar.core.signature import prove
from sidecar.core.verify import profile_of

_CHAIN: Final = frozenset({"delegation_chain", "chain_hash"})
_ANY_ROUTE: Final = Route("", Protocol.HTTP, (), "", {})
_MAX_SKEW_S: Final = 5.0


def look_at(given: Given, now: float) -> Findings:
    """Look at a token's form alone."""
    parts = parts_of(given.token)
    form = _form(given)
    step = refused("form", form, _around(parts, now)) if isinstance(form, Refused) else ok("form")
    return Findings(now, parts, kind_of(parts), (step,), None, is_judged=False)


async def judge(given: Given, configuration: Configuration, asked: Asked, now: float) -> Findings:
    """Judge a token as the gate would at ``now``, in seconds since the epoch.

    Raises ``NotOfferedError`` when there is no such call as ``asked``.
    """
    routes = routes_asked(configuration, asked)
    looked = replace(look_at(given, now), is_judged=True)
    jws = _form(given)
    if isinstance(jws, Refused):
        return looked
    walk = _Walk(configuration, given.scheme, jws, _around(looked.parts, now), looked.kind)
    found = await walk.through(routes, asked)
    return replace(looked, steps=(*looked.steps, *walk.steps), routes=found)


def _form(given: Given) -> Jws | Refused:
    authorization = given.scheme.value.encode() + b" " + given.token
    request = request_of(_ANY_ROUTE, "GET", "/", ())
    request = replace(request, headers={"authorization": (authorization,)})
    credential = credential_of(request)
    return credential if isinstance(credential, Refused) else compact.parse(credential.token)


def _around(parts: Parts, now: float) -> Circumstances:
    return Circumstances(now, parts.payload or {}, parts.header or {})


@dataclass(slots=True)
class _Walk:
    """One token's way; each part adds its steps."""

    configuration: Configuration
    scheme: Scheme
    jws: Jws
    around: Circumstances
    kind: Kind
    steps: list[Step] = field(default_factory=list)

    async def through(
        self, routes: tuple[Route, ...], asked: Asked
    ) -> tuple[RouteStep, ...] | None:
        """Go all the way, as far as there is one."""
        profile = self._issuer()
        if profile is None:
            return None
        signed = self._signed(profile, await self._key(profile))
        examined = self._claims(signed, profile)
        if examined.agent is None:
            return None
        self._minted_for(examined.agent, profile)
        judged = Judge(self.configuration, examined.attempt, examined.agent, self.around)
        return tuple(judged.route(route, asked) for route in routes)

    def _refuse(self, name: str, why: Refused, around: Circumstances | None = None) -> None:
        self.steps.append(refused(name, why, around or self.around))

    def _issuer(self) -> IssuerProfile | None:
        issuers = self.configuration.issuers
        answer = profile_of(self.jws, issuers)
        profile = issuers.get(self.jws.unverified_issuer)
        if profile is None:
            if isinstance(answer, Refused):
                self._refuse("issuer", answer, replace(self.around, known_issuers=issuers))
            return None
        self.around = replace(self.around, issuer=profile)
        settings = self.configuration.settings.issuers
        named = next(one.profile for one in settings if one.issuer == profile.issuer)
        said = f"{profile.name}, profile {named}"
        if self.kind.profile not in ("", named, "plain"):
            said += f"; the token looks like profile {self.kind.profile}"
        self.steps.append(ok("issuer", said))
        for why in header_refusals(self.jws, profile):
            self._refuse("header", why)
        return profile

    async def _key(self, profile: IssuerProfile) -> Key | None:
        published = await fetch_keys(profile, self.configuration)
        if isinstance(published, str):
            word = Reason.KEYS_UNAVAILABLE.word
            hint = "the rest is looked at without them, and nothing of it is verified"
            self.steps.append(Step("key", Result.UNKNOWN, published, word, hint))
            return None
        key = published.ring.find(self.jws.kid)
        if key is None:
            why = Refused(Reason.KEY_UNKNOWN, f"kid {value(self.jws.kid)} of {profile.name}")
            hint = no_such_key(published.ring, self.jws.kid)
            self.steps.append(replace(refused("key", why, self.around), hint=hint))
            return None
        self.steps.append(_found(key, published))
        return key

    def _signed(self, profile: IssuerProfile, key: Key | None) -> SignedClaims:
        """Give the claims; where nobody could prove them, as they stand, without a chain."""
        if key is None:
            hint = "without the key, nobody knows whose words these are"
            self.steps.append(Step("signature", Result.UNKNOWN, "not verified", hint=hint))
        else:
            signed = prove(self.jws, key)
            if isinstance(signed, SignedClaims):
                self.steps.append(ok("signature"))
                return signed
            is_chain = signed.reason is Reason.DELEGATION_REFUSED
            self._refuse("delegation" if is_chain else "signature", signed)
        claims = self.jws.unverified_claims
        bare = {name: said for name, said in claims.items() if name not in _CHAIN}
        nobody = key or Key(profile.issuer, self.jws.kid, self.jws.algorithm, "", None)
        return SignedClaims(bare, self.jws.type, nobody, digest=self.jws.digest)

    def _claims(self, signed: SignedClaims, profile: IssuerProfile) -> Examined:
        call = _for_any_route(self.configuration, signed)
        examined = examine(Attempt(signed, profile, self.around.now), call)
        for why in examined.refusals:
            self._refuse("claims", why)
        if not examined.refusals:
            self.steps.append(ok("claims"))
        agent = examined.agent
        if (
            agent
            and self.scheme is Scheme.DPOP
            and not (agent.confirmation and agent.confirmation.jwk_thumbprint)
        ):
            why = Refused(Reason.BINDING_REFUSED, "sent as DPoP, but bound to no key")
            self._refuse("binding", why)
        return examined

    def _minted_for(self, agent: Agent, profile: IssuerProfile) -> None:
        catalogue = self.configuration.catalogue
        capabilities = Capabilities(catalogue)
        revision = self._revision(agent, profile)
        ours = f"capability_hash {capabilities.of(agent.tenant, agent.scopes)}, policy {revision}"
        said = (
            f"{agent.capability_hash or 'no hash'}, {agent.policy_version or 'no policy_version'}"
        )
        answer = minted_for(agent, profile, revision, capabilities)
        if isinstance(answer, Agent) and revision != UNKNOWN:
            answer = minted_under(agent, profile, revision) or answer
        if isinstance(answer, Refused):
            lacks = f"it says {said}; here it is {ours}"
            self._refuse("minted for", answer, replace(self.around, lacks=lacks))
        elif answer.marks:
            marks = ", ".join(answer.marks)
            self.steps.append(
                replace(ok("minted for", f"passes, marked {marks}"), hint=f"here it is {ours}")
            )
        else:
            self.steps.append(ok("minted for"))

    def _revision(self, agent: Agent, profile: IssuerProfile) -> str:
        """Load the policies for their revision, if it is compared; ``UNKNOWN`` if they cannot be.

        An OPA is not asked for its own.
        """
        policy = self.configuration.settings.policy
        unsaid = profile.policy_version is Match.MARK and not agent.policy_version
        if profile.policy_version is Match.OFF or unsaid:
            return UNKNOWN
        if policy.engine == "opa":
            why = "an OPA has the policy and is not asked here: policy_version is not compared"
            self.steps.append(ok("policy", why))
            return UNKNOWN
        try:
            return EmbeddedPolicy.load(self.configuration.policy_paths, policy.entrypoint).revision
        except PolicyLoadError:
            why = "the policies cannot be loaded: see scopegate validate"
            self.steps.append(Step("policy", Result.UNKNOWN, why, Reason.POLICY_ERROR.word))
            return UNKNOWN


def _found(key: Key, published: Published) -> Step:
    skew = published.skew_s or 0.0
    hint = ""
    if abs(skew) > _MAX_SKEW_S:
        way = "ahead of" if skew > 0 else "behind"
        hint = f"this machine's clock is {span(abs(skew))} {way} the issuer's"
    return replace(ok("key", f"kid {value(key.kid)}, {key.algorithm}"), hint=hint)


def _for_any_route(configuration: Configuration, signed: SignedClaims) -> Call:
    """Make a call that wants no audience but the token's own, and takes every tenant."""
    said = signed.claims.get("aud")
    members = [said] if isinstance(said, str) else said
    own = members[0] if isinstance(members, list) and members else ""
    catalogue = configuration.catalogue
    offers = (offer for route in catalogue.routes.values() for offer in offers_of(route, catalogue))
    return replace(call_of(next(offers), ()), audience=own, tenant=None)
