"""Whether the parts of a configuration fit each other; every misfit at once, none by exception.

What is refused here would start well and fail later: a route that nobody could ever call, a header
that two parties write, a write that passes during an outage without anybody having said why.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Final, TypeAlias, TypeVar

from sidecar.config.catalogue_file import CatalogueFile, OperationFile, RouteFile
from sidecar.config.issuer_section import IssuerSettings
from sidecar.config.problem import Loc, field_name
from sidecar.config.profiles import check_profile
from sidecar.config.settings import Settings
from sidecar.core.access import HTTP_READS
from sidecar.core.catalogue import ScopeTemplate
from sidecar.core.model import Access, Binding, Protocol, Scope
from sidecar.core.settle import Outgoing

T = TypeVar("T")

_NO_ORIGINS: Final = "asks for proofs (dpop), and dpop.origins does not say for which place"

Misfit: TypeAlias = tuple[Loc, str]
"""Where, and what is wrong there."""


def check_settings(settings: Settings) -> Iterator[Misfit]:
    """What is wrong with the settings file, its form being right."""
    issuers = settings.issuers
    yield from _repeated(issuers, lambda one: one.name, "issuers", "name")
    yield from _repeated(issuers, lambda one: one.issuer, "issuers", "issuer")
    for index, issuer in enumerate(issuers):
        yield from ((("issuers", index, *loc), text) for loc, text in check_profile(issuer))
    yield from _actor_issuers(issuers)
    yield from _proofs_for_anywhere(settings)
    largest = max(one.leeway for one in issuers)
    if settings.dpop.leeway is not None and settings.dpop.leeway > largest:
        # What a ledger that begins anew cannot know of, it refuses for the issuers' leeway only.
        yield ("dpop", "leeway"), f"must not exceed the largest leeway of any issuer, {largest:g}"
    yield from _unknown_tenants(settings)
    yield from _shared_headers(settings)
    if settings.keys.wait >= settings.limits.decision_timeout:
        yield ("keys", "wait"), "must be less than limits.decision_timeout"
    yield from _unshared(settings)
    yield from _missing_extras(settings)


def _actor_issuers(issuers: Sequence[IssuerSettings]) -> Iterator[Misfit]:
    """Actors whom nobody could revoke: an entry names one issuer and one of its tenants."""
    known = {issuer.issuer: issuer for issuer in issuers}
    for index, issuer in enumerate(issuers):
        loc = ("issuers", index, "actor_issuers")
        for name in sorted(issuer.actor_issuers):
            other = known.get(name)
            if other is None or other is issuer:
                yield loc, f"must not hold {name!r}, which is no other trusted issuer"
            elif not issuer.tenants <= other.tenants:
                yield loc, f"must not hold {name!r}, which may not speak for the same tenants"


def _proofs_for_anywhere(settings: Settings) -> Iterator[Misfit]:
    """A proof for another place, brought here with that place's name in Host, would be good."""
    if settings.dpop.origins:
        return
    for index, issuer in enumerate(settings.issuers):
        if Binding.DPOP in issuer.bind:
            yield ("issuers", index, "bind"), _NO_ORIGINS
    for name, tenant in settings.tenants.items():
        if Binding.DPOP in tenant.bind:
            yield ("tenants", name, "bind"), _NO_ORIGINS


def _unknown_tenants(settings: Settings) -> Iterator[Misfit]:
    known = {tenant for issuer in settings.issuers for tenant in issuer.tenants}
    for tenant in settings.tenants:
        if tenant not in known:
            yield ("tenants", tenant), "is a tenant that no issuer may speak for"


def _missing_extras(settings: Settings) -> Iterator[Misfit]:
    """What is asked for but was not installed along."""
    wanted = {
        ("policy", "engine"): (settings.policy.engine, "opa", "opa_client"),
        ("stores", "kind"): (settings.stores.kind, "redis", "redis"),
        ("deny_list", "source"): (settings.deny_list.source, "redis", "redis"),
    }
    for loc, (value, extra, module) in wanted.items():
        if value == extra and find_spec(module) is None:
            yield loc, f"needs what is not installed: pip install 'scopegate[{extra}]'"


def _unshared(settings: Settings) -> Iterator[Misfit]:
    """What several sidecars could not share, and a Redis that is asked for or named in vain."""
    kept = {
        ("stores", "kind"): settings.stores.kind,
        ("deny_list", "source"): settings.deny_list.source,
    }
    for loc, where in kept.items():
        if where == "memory" and settings.replicas > 1:
            yield ("replicas",), f"must be 1 while {field_name(loc)} is memory: each has its own"
        if where == "redis" and settings.redis is None:
            yield loc, "must not be redis without a section redis, which says where it is"
    if "redis" not in kept.values() and settings.redis is not None:
        yield ("redis",), "is used by nothing: neither stores.kind nor deny_list.source is redis"


def check_catalogue(catalogue: CatalogueFile, settings: Settings) -> Iterator[Misfit]:
    """What is wrong with the catalogue file under these settings, its form being right."""
    yield from _repeated(catalogue.routes, lambda one: one.name, "routes", "name")
    for index, route in enumerate(catalogue.routes):
        if Binding.DPOP in route.bind and not settings.dpop.origins:
            yield ("routes", index, "bind"), _NO_ORIGINS
        for loc, message in (
            *_protocol_misfits(route, catalogue),
            *_tenant_misfits(route, settings.issuers),
            *_operation_misfits(route, settings.issuers),
        ):
            yield ("routes", index, *loc), message
    for name, server in catalogue.servers.items():
        for kind, operations in (("methods", server.methods), ("tools", server.tools)):
            for called, operation in operations.items():
                for message in _server_scope_misfits(name, operation, catalogue, settings):
                    yield ("servers", name, kind, called, "scope"), message


def _repeated(
    values: Sequence[T], key: Callable[[T], Hashable], section: str, field: str
) -> Iterator[Misfit]:
    first: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        before = first.setdefault(key(value), index)
        if before != index:
            yield (section, index, field), f"is the same as {field_name((section, before, field))}"


def _shared_headers(settings: Settings) -> Iterator[Misfit]:
    own = Outgoing()
    taken = dict.fromkeys((own.skipped, own.marks), "scopegate's own")
    for field in type(settings.identity_headers).model_fields:
        name: str = getattr(settings.identity_headers, field)
        if name in taken:
            yield ("identity_headers", field), f"is the same header as {taken[name]}"
        taken.setdefault(name, f"identity_headers.{field}")
    for name in sorted(settings.policy_headers):
        if name in taken:
            yield ("policy_headers",), f"must not hold {name!r}, which is {taken[name]}"


def _protocol_misfits(route: RouteFile, catalogue: CatalogueFile) -> Iterator[Misfit]:
    if route.protocol is Protocol.HTTP:
        if not route.operations:
            yield ("operations",), "must offer a method: an http route without operations is dead"
        if route.server is not None:
            yield ("server",), "is for protocol: mcp only"
        return
    if route.operations:
        yield ("operations",), "must be left out: an mcp route offers its server's tools"
    if route.server is None:
        yield ("server",), "is required: an mcp route offers its server's tools"
    elif route.server not in catalogue.servers:
        yield ("server",), "is not a server of this catalogue"


def _tenant_misfits(route: RouteFile, issuers: Iterable[IssuerSettings]) -> Iterator[Misfit]:
    if not _speaking_for(route.tenant, issuers):
        yield ("tenant",), "is a tenant that no issuer may speak for"


def _operation_misfits(route: RouteFile, issuers: Iterable[IssuerSettings]) -> Iterator[Misfit]:
    speaking = _speaking_for(route.tenant, issuers)
    for method, operation in route.operations.items():
        loc = ("operations", method)
        parameter = operation.scope.parameter
        if parameter is not None and f"{{{parameter}}}" not in route.path:
            yield (*loc, "scope"), f"names {{{parameter}}}, which is not in the path"
        if speaking and not _is_grantable(operation.scope, speaking):
            yield (*loc, "scope"), _NEVER_GRANTED
        if _is_unexplained_exception(route, method, operation):
            yield (*loc, "access"), f"lets {method} pass during an outage: give a reason"


def _is_unexplained_exception(route: RouteFile, method: str, operation: OperationFile) -> bool:
    """Whether the operator made a read out of what HTTP calls a write (RFC 9110, 9.2.1)."""
    read = operation.access is Access.READ and route.access in {None, Access.READ}
    return read and method not in HTTP_READS and operation.reason is None


def _server_scope_misfits(
    server: str, operation: OperationFile, catalogue: CatalogueFile, settings: Settings
) -> Iterator[str]:
    if operation.scope.parameter is not None:
        yield "must be literal: a tool has no path with a {parameter}"
        return
    tenants = {route.tenant for route in catalogue.routes if route.server == server} or {None}
    calling = [one for tenant in tenants for one in _speaking_for(tenant, settings.issuers)]
    if calling and not _is_grantable(operation.scope, calling):
        yield _NEVER_GRANTED


_NEVER_GRANTED: Final = "is above every issuer's ceiling: nobody could ever call this"


def _speaking_for(tenant: str | None, issuers: Iterable[IssuerSettings]) -> list[IssuerSettings]:
    return [issuer for issuer in issuers if tenant is None or tenant in issuer.tenants]


def _is_grantable(scope: ScopeTemplate, issuers: Iterable[IssuerSettings]) -> bool:
    """Whether some issuer may grant what this asks for, at least for one value of a parameter."""
    return any(_may_cover(limit, scope) for issuer in issuers for limit in issuer.ceiling)


def _may_cover(limit: Scope, scope: ScopeTemplate) -> bool:
    wanted = limit.identifier if scope.parameter is not None else scope.identifier
    return limit.covers(scope.with_identifier(wanted))
