"""``scopegate keys import``: an issuer's key file becomes a JWK Set, or joins one."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import typer

from sidecar.cli.pem_key import BadPemError, PublicJwk, read_pem
from sidecar.cli.plain import json_text, value
from sidecar.core.claims import is_text
from sidecar.core.jwk import SIGNATURES
from sidecar.core.keyring import BadKeySet, parse_jwks
from sidecar.core.signature import ALGORITHMS
from sidecar.core.strict_json import parse_object

_USES: Final = SIGNATURES | {"jwt-svid"}
_LONGEST: Final = 1_048_576
_MAX_DEPTH: Final = 8
_READABLE: Final = 0o644
_KEY_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e")


class _BadSetError(Exception):
    """The JWK Set cannot take the key; the text says why, and the file is as it was."""


def import_pem(pem: Path, kid: str | None, alg: str | None, into: Path | None) -> None:
    """Print the set, or add to ``into`` and say so.

    Exit status 1 for a key or a set that cannot be used, 2 for a wrong option.
    """
    if alg is not None and alg not in ALGORITHMS:
        _fail(f"--alg: must be {' or '.join(sorted(ALGORITHMS))}", 2)
    if kid is not None and not is_text(kid):
        _fail("--kid: must be 1 to 256 visible ASCII characters", 2)
    try:
        public = read_pem(pem, kid, alg)
        done = _document([public.jwk]) if into is None else _add(public.jwk, into)
    except (BadPemError, _BadSetError) as wrong:
        _fail(str(wrong), 1)
    _tell(public, pem)
    typer.echo(done)


def _tell(public: PublicJwk, pem: Path) -> None:
    if public.was_private:
        typer.echo(
            f"scopegate keys import: {pem} holds a private key; only its public part was taken",
            err=True,
        )


def _document(keys: list[Mapping[str, Any]], beside: Mapping[str, Any] | None = None) -> str:
    """Write a JWK Set that a gate takes. Raises ``_BadSetError``."""
    text = json_text({**(beside or {}), "keys": keys}, indent=2)
    try:
        parse_jwks(text.encode(), "", ALGORITHMS, None, uses=_USES)
    except BadKeySet as error:
        raise _BadSetError(f"no gate would take such a set: {error}") from None
    return text


def _add(jwk: Mapping[str, Any], into: Path) -> str:
    """Add the key, unless it is there. Raises ``_BadSetError``."""
    into = into.resolve()  # a link stays one
    name = f"key {value(jwk['kid'])} ({jwk['alg']})"
    try:
        with _alone(into.parent):
            known = _known(into)
            keys: list[Any] = known.get("keys", [])
            if _is_there(jwk, keys, into):
                return f"{into} has {name} already: nothing to do"
            try:
                document = _document([*keys, jwk], known)
            except _BadSetError as wrong:
                raise _BadSetError(f"{into}: {wrong}") from None
            _replace(into, f"{document}\n".encode())
    except OSError as error:
        raise _BadSetError(f"{into} cannot be changed: {error.strerror}") from None
    return f"{name} is in {into}"


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Of two imports at a time, neither loses the other's key."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _known(into: Path) -> dict[str, Any]:
    if not into.exists():
        return {}
    with into.open("rb") as file:
        raw = file.read(_LONGEST + 1)
    if len(raw) > _LONGEST:
        raise _BadSetError(f"{into} is longer than {_LONGEST} bytes")
    try:
        known = parse_object(raw, max_depth=_MAX_DEPTH)
    except ValueError as error:
        raise _BadSetError(f"{into} is no JWK Set: {error}") from None
    if not isinstance(known.get("keys"), list):
        raise _BadSetError(f"{into} is no JWK Set: 'keys' is not an array")
    return known


def _is_there(jwk: Mapping[str, Any], keys: list[Any], into: Path) -> bool:
    named = (one for one in keys if isinstance(one, dict) and one.get("kid") == jwk["kid"])
    found = next(named, None)
    if found is None:
        return False
    name = value(jwk["kid"])
    if any(found.get(member) != jwk.get(member) for member in _KEY_MEMBERS):
        raise _BadSetError(f"{into} has another key of the name {name}; give --kid")
    if found.get("alg") != jwk["alg"]:
        said = value(found.get("alg"))
        raise _BadSetError(f"{into} has the key {name} with alg {said}; give --alg, or --kid")
    return True


def _replace(into: Path, content: bytes) -> None:
    """Put it in place whole or not at all: a gate may read at any time."""
    mode = into.stat().st_mode & 0o777 if into.exists() else _READABLE
    beside = tempfile.NamedTemporaryFile(  # noqa: SIM115 - it outlives the block, or is removed
        dir=into.parent, prefix=f".{into.name}.", delete=False
    )
    try:
        with beside as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(beside.name).replace(into)
    except OSError:
        Path(beside.name).unlink(missing_ok=True)
        raise


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"scopegate keys import: {message}", err=True)
    raise typer.Exit(status)
