"""A wire on which the answer to a chosen write is lost: it was carried out, and nobody is told."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from itertools import count

from pymongo.errors import AutoReconnect
from wires import Wire

WRITES = {
    *("insert", "update", "delete", "findAndModify", "create", "createIndexes"),
    *("renameCollection", "collMod", "commitTransaction"),
}
HEADER = struct.Struct("<iiii")
FIRST_NAME = 26  # in an OP_MSG: header, flags, kind, length of the document, type of its element


class LosingAnswers(Wire):
    """Passes messages on to a server, and closes the connection instead of passing one answer.

    Args:
        port: Where the server listens.
        lose: The write commands, counted from 1, whose answers are lost.
    """

    def __init__(self, port, lose=()):
        super().__init__(port, Passing)
        self.lose = set(lose)
        self.writes = 0
        self.lost = 0
        self.counting = threading.Lock()

    def loses(self, message):
        """Whether the answer to this request is to be lost."""
        name = message[FIRST_NAME : message.find(b"\0", FIRST_NAME)].decode("latin-1")
        if name not in WRITES:
            return False
        with self.counting:
            self.writes += 1
            lost = self.writes in self.lose
            self.lost += lost
            return lost


class Passing(socketserver.BaseRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError), socket.create_connection(self.server.target) as server:
            answers = threading.Thread(target=self.pass_answers, args=(server,), daemon=True)
            self.losing = threading.Event()
            answers.start()
            while message := read_message(self.request):
                if self.server.loses(message):
                    self.losing.set()
                server.sendall(message)
            server.shutdown(socket.SHUT_RDWR)
            answers.join()

    def pass_answers(self, server):
        with contextlib.suppress(OSError):
            while answer := read_message(server):
                if self.losing.is_set():
                    break
                self.request.sendall(answer)
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)


def read_message(connection):
    """One whole message; empty at the end of the connection."""
    header = read_bytes(connection, HEADER.size)
    return header and header + read_bytes(connection, HEADER.unpack(header)[0] - HEADER.size)


def read_bytes(connection, count):
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            return b""
        parts += part
    return bytes(parts)


def losing_the_answer_to(monkeypatch, kind, method):
    """The next call of a method does what it does, and then its connection is lost."""
    real = getattr(kind, method)
    calls = count()

    async def lost(*arguments):
        monkeypatch.setattr(kind, method, real)
        result = await real(*arguments)
        # Whoever calls again may hold this one still.
        if next(calls) == 0:
            raise AutoReconnect("closed")
        return result

    monkeypatch.setattr(kind, method, lost)
