"""Processes to be killed, databases to do it in, and how much of a sweep a profile goes through."""

from __future__ import annotations

import time
from collections import Counter
from zlib import crc32

import pytest
from legacy_cases import build_dirty_database
from little import little_legacy
from processes import Processes
from survived import record
from sweeps import PARTS, THOROUGH, Sample


@pytest.fixture
def sample(request):
    """What to go through of a sweep; in the thorough profile the test is there once for a part."""
    sample = Sample(getattr(request, "param", 0))
    yield sample
    chosen = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    server = chosen.get("server") or chosen.get("sweep_server") or "standalone"
    counts = {f"{kind} | {server}": count for kind, count in sample.counts.items()}
    request.node.user_properties.append(("survived", counts))


def pytest_generate_tests(metafunc):
    if THOROUGH and "sample" in metafunc.fixturenames:
        names = [f"part {n + 1} of {PARTS}" for n in range(PARTS)]
        metafunc.parametrize("sample", range(PARTS), ids=names, indirect=True)


@pytest.fixture
def legacy(request):
    """Fills a database: with every collection and every oddity, or in little where time is short.

    A migration of it ends with 5.
    """
    chosen = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    # Of that size once is enough where the kind of server makes little difference.
    in_full = THOROUGH and "replica set" not in chosen.values()
    return every_collection if in_full else little_legacy


def every_collection(database):
    build_dirty_database(database, seed=21, users=2, documents_per_user=4)


@pytest.fixture(scope="session")
def processes():
    """Starts processes of the tool and kills what is left of them."""
    starter = Processes()
    yield starter
    starter.close()


SERVERS = {"standalone": "mongod", "replica set": "replica_set"}


@pytest.fixture(params=SERVERS)
def server(request):
    """A server without transactions, and one with them."""
    return request.getfixturevalue(SERVERS[request.param])


@pytest.fixture(params=SERVERS if THOROUGH else ["standalone"])
def sweep_server(request):
    """Either of them for a whole sweep; a few cases are gone through on the first alone."""
    return request.getfixturevalue(SERVERS[request.param])


@pytest.fixture
def fresh(servers, database_name):
    """Gives databases filled by a function, and their connection strings; drops them."""
    made = []

    def make(server, fill):
        name = f"{database_name}_{len(made)}"
        made.append(name)
        database = servers.client(server)[name]
        fill(database)
        return database, server.uri_for(name)

    yield make
    for name in made:
        servers.drop(name)


# -- shards -----------------------------------------------------------------------------------


def pytest_addoption(parser):
    parser.addoption(
        "--shard",
        metavar="K/N",
        help="run every N-th test of the folder from the K-th on; of the thorough profile, note in "
        "docs/survived what was gone through",
    )


def pytest_configure(config):
    shard = config.getoption("--shard", None)
    if shard and THOROUGH and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Shard(config, shard))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Deal the tests out to the shards; a part of a sweep takes longer than any other test may."""
    ours = [item for item in items if "faults" in item.path.parts]
    for item in ours:
        item.add_marker(pytest.mark.slow)
    if THOROUGH:
        for item in ours:
            item.add_marker(pytest.mark.timeout(3600))
    if shard := config.getoption("--shard", None):
        number, of = map(int, shard.split("/"))
        mine = {item for item in ours if (_place(item) - number) % of == 0}
        config.hook.pytest_deselected(items=[item for item in ours if item not in mine])
        items[:] = [item for item in items if item not in ours or item in mine]


def _place(item):
    """Where a test is dealt to: always the same, and the parts of a sweep one after the other."""
    part = item.callspec.params.get("sample", 0) if hasattr(item, "callspec") else 0
    name = f"{item.path.name} {item.name}".replace(f"part {part + 1} of {PARTS}", "")
    return crc32(name.encode()) + part


class Shard:
    """Notes what the tests of a shard went through, and what came of it."""

    def __init__(self, config, shard):
        self._config, self._name = config, shard
        self._began = time.monotonic()
        self._counts, self._passed, self._failed = Counter(), set(), set()

    def pytest_runtest_logreport(self, report):
        test = report.nodeid.rpartition("/")[2]
        if report.failed:
            self._failed.add(test)
        elif report.passed and report.when == "call":
            self._passed.add(test)
        if report.when == "teardown" and test in self._passed - self._failed:
            self._counts.update(dict(report.user_properties).get("survived", {}))

    def pytest_sessionfinish(self, exitstatus):
        # A part of a shard is none.
        options = self._config.option
        whole = not (options.keyword or options.markexpr or options.collectonly)
        if whole and exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            record(
                f"faults {self._name}",
                counts=self._counts | {"tests": len(self._passed - self._failed)},
                failed=sorted(self._failed),
                seconds=time.monotonic() - self._began,
                seed=Sample().seed,
            )
