"""Files and environment to the values that the pipeline works with: parsed once, checked whole.

Precedence: environment over file over default. Everything that can be told is told at once; only
what the parts mean to each other has to wait until their form is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from sidecar.clock import SystemClock
from sidecar.config.catalogue_file import CatalogueFile, OperationFile, RouteFile
from sidecar.config.checks import check_catalogue, check_settings
from sidecar.config.environment import overrides_in
from sidecar.config.explain import validated
from sidecar.config.files import Files, read_files
from sidecar.config.grammar import is_file
from sidecar.config.problem import ConfigurationError, Origin, Problem
from sidecar.config.profiles import profile_of
from sidecar.config.settings import Settings
from sidecar.config.stance_checks import (
    check_bindings,
    check_effects,
    check_exceptions,
    exceptions_of,
)
from sidecar.config.yaml_source import Document, read_yaml
from sidecar.core.binding import Callers
from sidecar.core.catalogue import Catalogue, Operation, Route
from sidecar.core.dpop import DpopRules
from sidecar.core.profile import IssuerProfile
from sidecar.core.settle import Outgoing

T = TypeVar("T")

MCP_SESSION: Final = "mcp-session-id"
"""The header that names an MCP session (MCP, Streamable HTTP), in lower case."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that an operator configured; its parts fit together."""

    settings: Settings
    origin: Origin
    """Of the settings, for messages about what only shows later."""
    folder: Path
    """Where the settings file is: paths in it are relative to this."""
    catalogue: Catalogue
    issuers: Mapping[str, IssuerProfile]
    """By exact ``iss``."""
    outgoing: Outgoing
    callers: Callers
    files: Files
    """What stands in the files that the settings name."""

    @property
    def policy_paths(self) -> tuple[Path, ...]:
        """Where the policies are."""
        return tuple(self.folder / path for path in self.settings.policy.paths)


def load_configuration(
    path: Path, environ: Mapping[str, str], *, now: float | None = None
) -> Configuration:
    """Read the settings at ``path`` and the catalogue that they name.

    ``now`` is what end dates may not be too far ahead of, in seconds since the epoch; None asks the
    system. No date that has passed is a problem.

    Raises ``ConfigurationError`` with every problem; messages name files as ``path`` does.
    """
    found: list[Problem] = []
    overrides = overrides_in(environ)
    found.extend(overrides.problems)
    document = _attempt(found, lambda: _read_settings(path))
    if document is None:
        raise ConfigurationError(tuple(found))
    origin = Origin(str(path), document.origin.lines, overrides.variables)
    data = _overlaid(document.data, overrides.data)
    settings = _attempt(found, lambda: validated(Settings, data, origin))
    catalogue = _attempt(found, lambda: _read_catalogue(path.parent, data, origin))
    if settings is None:
        raise ConfigurationError(tuple(found))
    files, misfits = read_files(settings, path.parent)
    found.extend(origin.problem(*one) for one in (*check_settings(settings), *misfits))
    if catalogue is not None:
        listed, listed_in = catalogue
        found.extend(listed_in.problem(*misfit) for misfit in check_catalogue(listed, settings))
        found.extend(listed_in.problem(*misfit) for misfit in check_exceptions(listed))
        if not found:
            made = _configuration(path.parent, settings, origin, listed, files)
            today = SystemClock().now() if now is None else now
            effects = check_effects(made.catalogue, now=today)
            found.extend(listed_in.problem(*misfit) for misfit in effects)
            bound = check_bindings(settings, made.catalogue)
            found.extend(origin.problem(*misfit) for misfit in bound)
            if not found:
                return made
    raise ConfigurationError(tuple(found))


def _attempt(found: list[Problem], read: Callable[[], T]) -> T | None:
    """What ``read`` returns; on a ``ConfigurationError``, None, its problems added to ``found``."""
    try:
        return read()
    except ConfigurationError as error:
        found.extend(error.problems)
        return None


def _read_settings(path: Path) -> Document:
    try:
        return read_yaml(path, str(path))
    except OSError as error:
        raise ConfigurationError((Problem(str(path), None, "", _unreadable(error)),)) from error


def _read_catalogue(folder: Path, data: Any, origin: Origin) -> tuple[CatalogueFile, Origin] | None:
    """None when the settings name no catalogue, which is a problem of the settings."""
    name = data.get("catalogue") if isinstance(data, dict) else None
    if not is_file(name):
        return None
    try:
        document = read_yaml(folder / name, str(folder / name))
    except OSError as error:
        raise ConfigurationError((origin.problem(("catalogue",), _unreadable(error)),)) from error
    return validated(CatalogueFile, document.data, document.origin), document.origin


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {error.strerror or type(error).__name__}"


def _overlaid(below: Any, above: Mapping[str, Any]) -> Any:
    """``above`` over ``below``, key by key; only mappings mix, everything else is replaced."""
    if not isinstance(below, dict):
        return below
    mixed: dict[str, Any] = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(mixed.get(name), dict)
        mixed[name] = _overlaid(mixed[name], value) if both else value
    return mixed


def _configuration(
    folder: Path, settings: Settings, origin: Origin, catalogue: CatalogueFile, files: Files
) -> Configuration:
    return Configuration(
        settings=settings,
        origin=origin,
        folder=folder,
        catalogue=catalogue_of(catalogue),
        issuers=MappingProxyType({one.issuer: profile_of(one) for one in settings.issuers}),
        outgoing=outgoing_of(settings),
        callers=callers_of(settings),
        files=files,
    )


def catalogue_of(file: CatalogueFile) -> Catalogue:
    """The core's catalogue. Raises ``ValueError`` for a file that ``check_catalogue`` refuses."""
    return Catalogue(
        routes=MappingProxyType({route.name: _route_of(route) for route in file.routes}),
        servers=MappingProxyType({n: _operations_of(s.tools) for n, s in file.servers.items()}),
        methods=MappingProxyType({n: _operations_of(s.methods) for n, s in file.servers.items()}),
    )


def _route_of(route: RouteFile) -> Route:
    return Route(
        name=route.name,
        protocol=route.protocol,
        path=route.path,
        audience=route.audience,
        operations=_operations_of(route.operations),
        tenant=route.tenant,
        access=route.access,
        single_use=route.single_use,
        forward_token=route.forward_token,
        rewrite=route.rewrite,
        server=route.server or "",
        outages=exceptions_of(route),
        bind=route.bind,
        session_header=_session_header_of(route),
        credentials=route.credentials,
    )


def _session_header_of(route: RouteFile) -> str:
    if route.session_header is None:
        return MCP_SESSION
    return "" if route.session_header == "off" else route.session_header


def _operations_of(operations: Mapping[str, OperationFile]) -> Mapping[str, Operation]:
    return MappingProxyType(
        {
            name: Operation(one.scope, one.access, one.single_use, one.risk)
            for name, one in operations.items()
        }
    )


def callers_of(settings: Settings) -> Callers:
    """How callers are told apart."""
    dpop, largest = settings.dpop, max(one.leeway for one in settings.issuers)
    return Callers(
        trusted_hops=settings.callers.trusted_hops,
        dpop=DpopRules(dpop.origins, dpop.max_age, largest if dpop.leeway is None else dpop.leeway),
        tenants=MappingProxyType({name: one.bind for name, one in settings.tenants.items()}),
    )


def outgoing_of(settings: Settings) -> Outgoing:
    """The names of the headers that scopegate writes."""
    return Outgoing(
        **settings.identity_headers.model_dump(), policy_headers=settings.policy_headers
    )
