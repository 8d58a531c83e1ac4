"""A stand-in for a tool: answers every request with what reached it. Arguments: address and port.

The token never does: Envoy removes it.
"""  # noqa: INP001 - a script in a ConfigMap, no package

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    """Method, path and headers, as JSON."""

    def answer(self) -> None:
        """Answer any method; the body is read, because closing on it would lose the answer."""
        self.rfile.read(int(self.headers.get("content-length", "0")))
        seen = {"method": self.command, "path": self.path, "headers": dict(self.headers)}
        body = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - http.server's names


if __name__ == "__main__":
    # The first process of a container ignores every signal that it does not handle. Not sys.exit:
    # what a signal handler raises is lost where Python happens to be in a callback.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Echo).serve_forever()
