"""A small tool server that believes everything it is told, and tells what it was told.

Every answer is an ``echo`` of the request as it arrived: what is missing there never reached the
tool. On ``/mcp`` it speaks JSON-RPC as an MCP server does.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from examples.demo.listening import Listening

TOOLS: Final = (
    {"name": "balance", "inputSchema": {"type": "object"}},
    {"name": "transfer", "inputSchema": {"type": "object"}},
)


class Tool(Listening):
    """Serves any path, and counts."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.calls = 0
        """How many requests reached the tool."""

    def routes(self) -> list[web.RouteDef]:
        """Everything; ``/mcp`` as JSON-RPC."""
        return [web.post("/mcp", self._mcp), web.route("*", "/{rest:.*}", self._http)]

    async def _http(self, request: web.Request) -> web.Response:
        self.calls += 1
        return web.json_response({"echo": _echo(request)})

    async def _mcp(self, request: web.Request) -> web.Response:
        self.calls += 1
        call = await request.json()
        if "id" not in call:
            return web.Response(status=202)
        answer = {"jsonrpc": "2.0", "id": call["id"]} | _answer(call, request)
        return web.json_response(answer)


def _answer(call: dict[str, Any], request: web.Request) -> dict[str, Any]:
    match call.get("method"):
        case "tools/list":
            return {"result": {"tools": TOOLS, "echo": _echo(request)}}
        case "tools/call":
            text = f"done: {call['params']['name']}"
            content = [{"type": "text", "text": text}]
            return {"result": {"content": content, "isError": False, "echo": _echo(request)}}
        case method:
            return {"error": {"code": -32601, "message": f"no such method: {method}"}}


def _echo(request: web.Request) -> dict[str, Any]:
    """The request line and the headers as they arrived; names lower-case, every value kept."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    path, _, query = request.raw_path.partition("?")
    return {"method": request.method, "path": path, "query": query, "headers": headers}
