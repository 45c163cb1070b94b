"""An application on this machine that answers in JSON."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class JsonAnswers(BaseHTTPRequestHandler):
    """A handler whose ``reply`` is given the body of any request; the terminal stays empty."""

    def do_GET(self):
        self.reply(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def do_POST(self):
        self.do_GET()

    def answer(self, status, body, headers=None):
        """Sends a body, bytes as they are and anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def serving(handler):
    """A server on a free port, with its ``url``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
