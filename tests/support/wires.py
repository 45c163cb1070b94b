"""A wire between a client and a server on this machine, for tests that disturb what it passes."""

from __future__ import annotations

import socketserver
import threading


class Wire(socketserver.ThreadingTCPServer):
    """Listens while it is a context; the handler passes bytes on to the target.

    Args:
        port: Where the server listens.
        handler: Of one connection.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.target = ("127.0.0.1", port)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *details):
        self.shutdown()
        self.server_close()

    def uri_for(self, database):
        # A client that looks for the other members of a set would find the way past us.
        return f"mongodb://127.0.0.1:{self.server_address[1]}/{database}?directConnection=true"
