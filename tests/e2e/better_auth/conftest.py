"""Databases that were migrated, and real Better Auth applications on them."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from better_auth_app import Browser, application
from dirty_people import password_of
from node_packages import modules

from newbi_migrate import Migration
from newbi_migrate.demo import LegacyDatabase, build_legacy_database
from newbi_migrate.migration.facade import run_sync

SEED, USERS, DOCUMENTS = 3, 4, 20


@dataclass(frozen=True)
class Deployment:
    """A migrated database, and the application that works on it."""

    packages: str
    app: Any
    uri: str
    database: Any
    legacy: LegacyDatabase
    result: Any

    def person(self, position):
        """E-mail and password of a legacy user."""
        user = self.legacy.users[position]
        return user["email"], password_of(user)

    def signed_in(self, position):
        """A browser in which a legacy user has signed in."""
        browser = Browser(self.app)
        reply = browser.sign_in(*self.person(position))
        assert reply.status == 200, reply
        return browser

    def workspace(self, position):
        """Id of the organization the migration made for a legacy user."""
        return str(self.result.plan.users[position].workspace)


@pytest.fixture(scope="session")
def migrated(servers, mongod):
    """Makes and migrates a legacy database: a new one, or the one of the same name."""
    with ExitStack() as stack:
        made = {}

        def make(packages, name=""):
            if name and (packages, name) in made:
                return made[packages, name]
            database_name = f"newbi_auth_{uuid.uuid4().hex[:12]}"
            stack.callback(servers.drop, database_name)
            uri, database = mongod.uri_for(database_name), servers.client(mongod)[database_name]
            legacy = LegacyDatabase(SEED, USERS, DOCUMENTS)
            build_legacy_database(database, seed=SEED, users=USERS, documents_per_user=DOCUMENTS)
            made[packages, name] = uri, database, legacy, run_sync(_migrated(uri))
            return made[packages, name]

        yield make


@pytest.fixture(scope="module")
def deploy(migrated, tmp_path_factory):
    """Starts an application on a migrated database, with settings of the application.

    With a ``shared`` name the database is the one of that name, and so is the application with
    the same settings; without one both are new.
    """
    running = {}
    with ExitStack() as stack:

        def start(packages, *, shared="", **settings):
            modules(packages)  # skips before anything is built
            key = (packages, shared, *sorted(settings.items()))
            if not shared or key not in running:
                uri, database, legacy, result = migrated(packages, shared)
                folder = tmp_path_factory.mktemp("app")
                app = stack.enter_context(application(packages, uri, folder, **settings))
                running[key] = Deployment(packages, app, uri, database, legacy, result)
            return running[key]

        yield start


async def _migrated(uri):
    async with Migration(uri) as migration:
        return await migration.apply()
