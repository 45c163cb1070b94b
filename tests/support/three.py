"""A replica set of three members on this machine, whose primary can be killed."""

from __future__ import annotations

import contextlib
import time

from controlled_mongod import ControlledMongod
from pymongo import MongoClient
from pymongo.errors import PyMongoError

NAME = "three"
# The default takes ten seconds to notice that a primary is gone.
ELECTION = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200}


class ThreeMembers:
    """Three servers that elect a primary among them; use it as ``with``."""

    def __init__(self):
        arguments = ("--replSet", NAME, "--setParameter", "enableTestCommands=1")
        self._members = [ControlledMongod(extra_args=arguments) for _ in range(3)]
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        for member in self._members:
            self._stack.enter_context(member)
        hosts = [f"127.0.0.1:{member.port}" for member in self._members]
        members = [{"_id": n, "host": host} for n, host in enumerate(hosts)]
        config = {"_id": NAME, "members": members, "settings": ELECTION}
        with MongoClient(hosts[0], directConnection=True) as client:
            client.admin.command("replSetInitiate", config)
        self._hosts = ",".join(hosts)
        self.primary(60)
        return self

    def __exit__(self, *details):
        self._stack.close()

    def uri_for(self, database):
        return f"mongodb://{self._hosts}/{database}?replicaSet={NAME}"

    def primary(self, seconds):
        """The member that is the primary, once there is one."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for member in self._members:
                with contextlib.suppress(PyMongoError):
                    if member.running and self._is_primary(member):
                        return member
            time.sleep(0.05)
        raise TimeoutError("no primary")

    def secondary(self):
        """The connection string of a member that is a secondary."""
        primary = self.primary(60)
        other = next(member for member in self._members if member is not primary)
        uri = f"mongodb://127.0.0.1:{other.port}"
        with MongoClient(uri, directConnection=True) as client:
            while not client.admin.command("hello")["secondary"]:
                time.sleep(0.05)
        return uri

    @staticmethod
    def _is_primary(member):
        uri = f"mongodb://127.0.0.1:{member.port}"
        with MongoClient(uri, directConnection=True, serverSelectionTimeoutMS=500) as client:
            return client.admin.command("hello")["isWritablePrimary"]


class WithoutMajority:
    """A primary and an arbiter whose third member was never there: no write gets its majority."""

    def __init__(self):
        arguments = ("--replSet", NAME)
        self._members = [ControlledMongod(extra_args=arguments) for _ in range(2)]
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        primary, arbiter = (self._stack.enter_context(member) for member in self._members)
        self.uri = f"mongodb://127.0.0.1:{primary.port}"
        config = {
            "_id": NAME,
            "settings": ELECTION,
            "members": [
                {"_id": 0, "host": f"127.0.0.1:{primary.port}", "priority": 2},
                {"_id": 1, "host": f"127.0.0.1:{arbiter.port}", "arbiterOnly": True},
            ],
        }
        with MongoClient(self.uri, directConnection=True) as client:
            client.admin.command("replSetInitiate", config)
            while not client.admin.command("hello")["isWritablePrimary"]:
                time.sleep(0.05)
            absent = {"_id": 2, "host": "127.0.0.1:1", "priority": 0}
            config |= {"version": 2, "members": [*config["members"], absent]}
            client.admin.command("replSetReconfig", config, force=True)
            client.admin.command(
                "setDefaultRWConcern", defaultWriteConcern={"w": 1}, writeConcern={"w": 1}
            )
        return self

    def __exit__(self, *details):
        self._stack.close()
