"""``scopegate keys``: public keys for issuers that publish none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Make JWK Sets of key files.")


@app.callback()
def keys() -> None:
    """Make JWK Sets of key files."""


@app.command(name="import")
def import_key(
    pem: Annotated[
        Path, typer.Argument(help="A public key, a certificate or a private key, in PEM.")
    ],
    kid: Annotated[
        str | None, typer.Option(help="The key's name in tokens; else its thumbprint.")
    ] = None,
    alg: Annotated[
        str | None, typer.Option(help="Its algorithm; else the usual one of its type.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Add it to this JWK Set, which is made if need be.")
    ] = None,
) -> None:
    """Print a JWK Set with the public part of a key, or add it to one."""
    from sidecar.cli.keys_import import import_pem  # noqa: PLC0415 - help is instant

    import_pem(pem, kid, alg, into)
