"""The others: opa-envoy-plugin, given the same work, and a server that does none.

Their binaries come from a directory that the caller names; nothing of them is kept. The peer's
policy makes the same decision as ours from the same bytes and sets as many headers.
"""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path
from typing import Any, Final

from bench.answers import DECISION, REMOVED, fault_of_allow, fault_of_floor
from bench.issuer import AUDIENCE, ISSUER, Issuer
from bench.problem import BenchError
from bench.program import free_port
from bench.server import Server
from bench.work import AMOUNT_LIMIT, TOOL

PLUGIN: Final = "opa-envoy-plugin"
FLOOR: Final = "ext-authz-floor"

_OWNER_ONLY: Final = 0o700

_POLICY: Final = """\
package bench.authz

default result := {"allowed": false, "http_status": 403}

result := {
	"allowed": true,
	"headers": {
		"x-agent-id": claims.agent_id,
		"x-agent-tenant": claims.tenant,
		"x-agent-scopes": concat(" ", claims.scope),
		"x-agent-task": claims.task_id,
		data.decision_header: uuid.rfc4122("decision"),
	},
	"request_headers_to_remove": data.removed,
} if {
	call.method == "tools/call"
	call.params.name == data.tool
	covered
	within_limit
}

http := input.attributes.request.http

token := trim_prefix(http.headers.authorization, "Bearer ")

# Signature, issuer, audience and dates.
verified := io.jwt.decode_verify(token, {
	"cert": data.jwks,
	"alg": "EdDSA",
	"iss": data.issuer,
	"aud": data.audience,
})

claims := verified[2] if verified[0]

call := input.parsed_body

covered if concat(":", ["write", "payments", call.params.name]) in claims.scope

covered if "write:payments:*" in claims.scope

within_limit if {
	amount := call.params.arguments.amount
	is_number(amount)
	amount >= 0
	amount <= object.get(data.limits.tenants, claims.tenant, data.limits["default"])
}
"""


def peer_servers(binaries: Path, directory: Path, issuer: Issuer) -> tuple[Server, ...]:
    """Unpack ``opa-envoy-plugin.xz`` and ``ext-authz-floor.xz`` into ``directory``.

    Raises ``BenchError`` when a file is missing or cannot be read.
    """
    plugin, floor = (_unpacked(binaries, name, directory) for name in (PLUGIN, FLOOR))
    return (_plugin(plugin, directory / "plugin", issuer), _floor(floor, directory / "floor"))


def _unpacked(binaries: Path, name: str, directory: Path) -> Path:
    packed, program = binaries / f"{name}.xz", directory / name
    try:
        with lzma.open(packed) as source, program.open("wb") as target:
            shutil.copyfileobj(source, target)
    except (OSError, EOFError, lzma.LZMAError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise BenchError(f"{packed} cannot be unpacked: {why}") from error
    program.chmod(_OWNER_ONLY)
    return program


def _plugin(program: Path, directory: Path, issuer: Issuer) -> Server:
    directory.mkdir()
    port = free_port()
    (directory / "policy.rego").write_text(_POLICY)
    (directory / "data.json").write_text(json.dumps(_data(issuer)))
    config = {
        "plugins": {
            "envoy_ext_authz_grpc": {"addr": f"127.0.0.1:{port}", "path": "bench/authz/result"}
        },
        "decision_logs": {"console": False},
    }
    (directory / "config.json").write_text(json.dumps(config))
    command = (
        str(program), "run", "--server", "--addr", f"unix://{directory / 'opa.sock'}",
        "--config-file", "config.json", "--log-level", "error", "--skip-version-check",
        "policy.rego", "data.json",
    )  # fmt: skip
    return Server("peer", PLUGIN, command, directory, port, fault_of_allow)


def _data(issuer: Issuer) -> dict[str, Any]:
    return {
        "jwks": issuer.jwks(),
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "tool": TOOL,
        "decision_header": DECISION,
        "removed": REMOVED,
        "limits": {"default": AMOUNT_LIMIT, "tenants": {}},
    }


def _floor(program: Path, directory: Path) -> Server:
    directory.mkdir()
    port = free_port()
    command = (str(program), f"127.0.0.1:{port}")
    return Server(
        "floor", "floor (no work)", command, directory, port, fault_of_floor, judges=False
    )
