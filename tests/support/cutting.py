"""A wire that is slow, and cut after any number of bytes, in whatever direction they go."""

from __future__ import annotations

import contextlib
import random
import socket
import socketserver
import threading
import time

from wires import Wire


class CuttingWire(Wire):
    """Passes bytes on to a server in pieces of any size, and cuts connections now and then.

    Args:
        port: Where the server listens.
        seed: What chance begins with.
        cuts: How many connections are cut before all of them hold.
        most: The most bytes of one direction that a connection passes before it is cut.
        delay: The longest wait before a piece, in seconds.
    """

    def __init__(self, port, seed, *, cuts=6, most=20_000, delay=0.001):
        super().__init__(port, _Passing)
        self.chance = random.Random(seed)
        self.delay, self._most = delay, most
        self._cuts, self.cut = cuts, 0
        self._lock = threading.Lock()

    def passes(self):
        """How many bytes one direction of a new connection passes; all, once enough were cut."""
        with self._lock:
            return self.chance.randrange(self._most) if self.cut < self._cuts else None

    def cuts_now(self):
        """Whether a connection whose bytes are spent may still be cut."""
        with self._lock:
            allowed = self.cut < self._cuts
            self.cut += allowed
            return allowed


class _Passing(socketserver.BaseRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError), socket.create_connection(self.server.target) as server:
            ways = [(self.request, server), (server, self.request)]
            threads = [threading.Thread(target=self._pass, args=way, daemon=True) for way in ways]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _pass(self, source, target):
        left = self.server.passes()
        with contextlib.suppress(OSError):
            while piece := source.recv(self.server.chance.randrange(1, 4096)):
                time.sleep(self.server.chance.random() * self.server.delay)
                if left is not None and left < len(piece) and self.server.cuts_now():
                    target.sendall(piece[:left])
                    break
                left = None if left is None else max(0, left - len(piece))
                target.sendall(piece)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
