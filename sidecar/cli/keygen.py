"""``scopegate deny keygen``: a key that signs the feed of revocations."""

from __future__ import annotations

from pathlib import Path

import typer

from sidecar.relay.keys import KeyFileError, make_keys


def keygen(out: Path, public: Path) -> None:
    """Make the pair and say what each file is for; no key material is printed."""
    try:
        kid = make_keys(out, public)
    except KeyFileError as failed:
        typer.echo(f"scopegate deny keygen: {failed}", err=True)
        raise typer.Exit(1) from None
    typer.echo(
        f"key {kid}\n"
        f"{out}: private, for the relay alone (key:); whoever has it can lift every revocation\n"
        f"{public}: public, for the relay (keys:) and every sidecar (deny_list.keys); give it to "
        "all sidecars before the relay signs with the new key"
    )
