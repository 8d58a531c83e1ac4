"""What ``scopegate validate`` finds: everything that would keep a sidecar from deciding well.

Files first; once they hold, what only trying shows: the policies are loaded and every issuer's
keys are fetched once, with the limits of the settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from sidecar.adapters.jwks_fetch import FetchFailed, open_session
from sidecar.adapters.jwks_locate import KeyFetcher
from sidecar.adapters.rego_ast import Fault
from sidecar.adapters.regorus_policy import EmbeddedPolicy, EntrypointError, PolicyLoadError
from sidecar.clock import SystemClock
from sidecar.config.build import Configuration, load_configuration
from sidecar.config.issuer_section import IssuerSettings
from sidecar.config.key_source import key_limits, key_source
from sidecar.config.problem import ConfigurationError, Origin, Problem
from sidecar.core.keyring import BadKeySet, KeyRing, parse_jwks


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; without problems, ``configuration`` is there."""

    problems: tuple[Problem, ...]
    configuration: Configuration | None = None
    policy_revision: str = ""
    """Empty when an OPA has the policies: nobody asked it."""
    keys: Mapping[str, KeyRing] = field(default_factory=dict)
    """By the issuers' names; empty when nothing was fetched."""


async def validate(path: Path, environ: Mapping[str, str], *, offline: bool = False) -> Report:
    """Check the settings at ``path`` and all that they name; ``offline`` fetches no keys."""
    try:
        configuration = load_configuration(path, environ)
    except ConfigurationError as error:
        return Report(error.problems)
    problems: list[Problem] = []
    revision = _load_policies(configuration, problems)
    keys = {} if offline else await _fetch_all_keys(configuration, problems)
    return Report(tuple(problems), configuration, revision, keys)


def _load_policies(configuration: Configuration, problems: list[Problem]) -> str:
    if configuration.settings.policy.engine == "opa":
        return ""
    entrypoint = configuration.settings.policy.entrypoint
    try:
        return EmbeddedPolicy.load(configuration.policy_paths, entrypoint).revision
    except PolicyLoadError as error:
        problems.extend(policy_problems(error, configuration.origin))
        return ""


def policy_problems(error: PolicyLoadError, settings: Origin) -> tuple[Problem, ...]:
    """Each fault at the policy's own line; where it has none, at the setting that is to blame."""
    setting = "entrypoint" if isinstance(error, EntrypointError) else "paths"
    return tuple(_policy_problem(fault, settings, setting) for fault in error.faults)


def _policy_problem(fault: Fault, settings: Origin, setting: str) -> Problem:
    text = " ".join(fault.text.split())
    if fault.line:
        return Problem(fault.file, fault.line, "policy", text)
    return settings.problem(("policy", setting), f"{fault.file}: {text}")


async def _fetch_all_keys(
    configuration: Configuration, problems: list[Problem]
) -> dict[str, KeyRing]:
    issuers = configuration.settings.issuers
    async with open_session() as session:
        fetching = (_fetch_keys(issuer, configuration, session) for issuer in issuers)
        found = await asyncio.gather(*fetching)
    keys: dict[str, KeyRing] = {}
    for index, (issuer, ring) in enumerate(zip(issuers, found, strict=True)):
        if isinstance(ring, KeyRing):
            keys[issuer.name] = ring
        else:
            place = next(
                name for name in ("file", "url", "discovery") if getattr(issuer.jwks, name)
            )
            loc = ("issuers", index, "jwks", place)
            problems.append(configuration.origin.problem(loc, ring))
    return keys


async def _fetch_keys(
    issuer: IssuerSettings, configuration: Configuration, session: aiohttp.ClientSession
) -> KeyRing | str:
    """The issuer's keys, or why there are none."""
    profile, limits = configuration.issuers[issuer.issuer], key_limits(configuration.settings.keys)
    try:
        source = key_source(issuer, profile, configuration.folder)
        fetched = await KeyFetcher(source, limits, SystemClock(), lambda: session).fetch()
        document, algorithms = fetched.document or b"", issuer.algorithms
        return parse_jwks(document, issuer.issuer, algorithms, None, uses=profile.key_uses)
    except FetchFailed as error:
        return f"the keys of {issuer.name} cannot be had: {error}"
    except BadKeySet as error:
        return f"the keys of {issuer.name} cannot be used: {error}"
