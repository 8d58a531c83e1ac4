"""``python -m sidecar``: the same as ``scopegate``."""

from sidecar.cli import main

main()
