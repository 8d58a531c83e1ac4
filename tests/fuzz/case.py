"""One thing to try: all that a caller sends, and what Envoy says of its connection.

A case is written as one line of JSON, so that a finding can be kept and tried again for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from tests.gate import CATALOGUE, check

CORPUS: Final = Path(__file__).parent / "corpus.jsonl"
"""Past findings, and the most expensive tokens seen; always tried first."""

PATHS: Final = {
    "orders": "/orders/o-1",
    "records": "/records/o-1",
    "globex": "/globex/o-1",
}
_TEMPLATES: Final = {
    name: pb.CheckRequest.FromString(check(path=path, route=CATALOGUE.routes[name], token=b""))
    for name, path in PATHS.items()
}


@dataclass(frozen=True, slots=True)
class Case:
    """A read through one of three routes."""

    how: str
    """What was done to a good request; for people."""
    headers: tuple[tuple[str, bytes], ...]
    route: str = "orders"
    query: str = ""
    principal: str = ""
    certificate: bytes = b""

    def check(self) -> bytes:
        """The serialised ``CheckRequest``."""
        request = pb.CheckRequest()
        request.CopyFrom(_TEMPLATES[self.route])
        attributes = request.attributes
        if self.query:
            attributes.request.http.path += b"?" + self.query.encode()
        for name, value in self.headers:
            added = attributes.request.http.header_map.headers
            added.add(key=name.encode(), raw_value=value)
        attributes.source.principal = self.principal.encode()
        attributes.source.certificate = self.certificate
        return request.SerializeToString()

    def line(self) -> str:
        """The case as it is kept; bytes stand as Latin-1."""
        members: dict[str, Any] = {
            "how": self.how,
            "route": self.route,
            "query": self.query,
            "principal": self.principal,
            "certificate": self.certificate.decode("latin-1"),
            "headers": [[name, value.decode("latin-1")] for name, value in self.headers],
        }
        return json.dumps({name: value for name, value in members.items() if value})


def of_line(line: str) -> Case:
    """Read what ``Case.line`` wrote."""
    members: dict[str, Any] = json.loads(line)
    return Case(
        how=members["how"],
        headers=tuple((name, value.encode("latin-1")) for name, value in members["headers"]),
        route=members["route"],
        query=members.get("query", ""),
        principal=members.get("principal", ""),
        certificate=members.get("certificate", "").encode("latin-1"),
    )


def kept(path: Path = CORPUS) -> Iterator[Case]:
    """The cases of a file; none when there is no file."""
    if path.exists():
        yield from (of_line(line) for line in path.read_text().splitlines() if line)
