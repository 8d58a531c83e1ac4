"""A real SPIRE server for tests: ``with SpireServer(binary, folder) as spire``.

It keeps its data in SQLite and its keys in memory, and ends with the context.
"""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self

TRUST_DOMAIN: Final = "example.org"
_PATIENCE_S: Final = 30.0

_CONFIGURATION: Final = """server {{
    bind_address = "127.0.0.1"
    bind_port = "{port}"
    socket_path = "{folder}/api.sock"
    trust_domain = "{domain}"
    data_dir = "{folder}"
    log_level = "WARN"
    {more}
}}
plugins {{
    DataStore "sql" {{
        plugin_data {{
            database_type = "sqlite3"
            connection_string = "{folder}/datastore.sqlite3"
        }}
    }}
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "memory" {{ plugin_data {{}} }}
}}
"""


class SpireServer:
    """A server for ``TRUST_DOMAIN`` whose files and socket are in ``folder``.

    ``more`` is HCL for its ``server`` section, such as ``jwt_issuer = "https://issuer.test"``.
    """

    def __init__(self, binary: Path, folder: Path, more: str = "") -> None:
        self._binary = binary
        self._folder = folder
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        configuration = self._folder / "server.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=self._folder, domain=TRUST_DOMAIN, port=_free_port(), more=self._more
            )
        )
        with self._log.open("ab") as log:
            command: list[str | Path] = [self._binary, "run", "-config", configuration]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self._wait()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def mint(self, path: str, *audiences: str, ttl: int = 300) -> bytes:
        """Mint a JWT-SVID for ``spiffe://example.org`` plus ``path``; ``ttl`` is in seconds."""
        wanted = [word for audience in audiences for word in ("-audience", audience)]
        name = f"spiffe://{TRUST_DOMAIN}{path}"
        return self._ask("jwt", "mint", "-spiffeID", name, "-ttl", f"{ttl}s", *wanted).strip()

    def bundle(self) -> bytes:
        """The trust domain's bundle: a JWK Set (SPIFFE Trust Domain and Bundle, section 4)."""
        return self._ask("bundle", "show", "-format", "spiffe")

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _ask(self, *command: str) -> bytes:
        done = subprocess.run(
            [self._binary, *command, "-socketPath", self._folder / "api.sock"],
            check=False,
            capture_output=True,
            timeout=_PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def _wait(self) -> None:
        assert self._process is not None
        ends = time.monotonic() + _PATIENCE_S
        command: list[str | Path] = [self._binary, "healthcheck"]
        command += ["-socketPath", self._folder / "api.sock"]
        while subprocess.run(command, check=False, capture_output=True, timeout=10).returncode:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < ends, f"no SPIRE server: {self._log.read_text()}"
            time.sleep(0.05)

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _free_port() -> int:
    # SPIRE takes no port 0. Its tests use the socket only; nobody connects here.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
