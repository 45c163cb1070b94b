"""An embedded server that a test can kill, suspend and restart, and give users and fail points."""

from __future__ import annotations

import secrets
import signal
from urllib.parse import quote

from newbi_migrate.testing import EmbeddedMongod

ADMINISTRATOR = "admin"


class ControlledMongod(EmbeddedMongod):
    """A server in the hands of a test.

    Args:
        test_commands: Enable the server's fail points, among them ``failCommand``.
        auth: Require credentials and create an administrator, whose URI `uri` then is.
        extra_args: As the further options, those of `EmbeddedMongod`.
    """

    def __init__(self, *, test_commands=False, auth=False, extra_args=(), **options):
        if test_commands:
            extra_args = (*extra_args, "--setParameter", "enableTestCommands=1")
        super().__init__(extra_args=extra_args, **options)
        self._auth = auth
        self._password = None
        self._was_ready = False

    @property
    def pid(self):
        return self._process.pid

    @property
    def directory(self):
        """Where its log and, unless told otherwise, its data are."""
        return self._directory

    def uri_for(self, database):
        uri = super().uri_for(database)
        return uri if self._password is None else self._as(ADMINISTRATOR, self._password, uri)

    def add_user(self, name, password, *, database, roles):
        """Create a user in `database`, who has `roles` there; give their connection string.

        ``role@other`` grants ``role`` on the database ``other``.
        """
        granted = [
            {"role": role, "db": scope or database}
            for role, _, scope in (entry.partition("@") for entry in roles)
        ]
        with self._client() as client:
            client[database].command("createUser", name, pwd=password, roles=granted)
        return self._as(name, password, super().uri_for(database), source=database)

    def kill(self):
        """End the server without warning, as a crash would; `restart` brings it back."""
        self._process.kill()
        self._end()

    def restart(self):
        """Start again on the same port and data."""
        self._end()
        return self.start()

    def suspend(self):
        """Freeze the process: connections stay open and nothing answers, until `resume`."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def _end(self):
        if self.running and hasattr(signal, "SIGCONT"):
            # A suspended process takes no notice of a request before it goes on.
            self.resume()
        super()._end()

    def _arguments(self):
        arguments = super()._arguments()
        if self._auth:
            arguments.append("--auth")
            if self._replica_set:
                key = self._directory / "keyfile"
                if not key.exists():
                    key.touch(mode=0o600)
                    key.write_text(secrets.token_hex(48), encoding="ascii")
                arguments += ["--keyFile", str(key)]
        return arguments

    def _client(self):
        client = super()._client()
        if self._password is None:
            return client
        client.close()
        uri = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        return type(client)(self._as(ADMINISTRATOR, self._password, uri))

    def _make_ready(self):
        if not self._was_ready:
            super()._make_ready()
            if self._auth:
                password = secrets.token_urlsafe(24)
                with self._client() as client:
                    client.admin.command("createUser", ADMINISTRATOR, pwd=password, roles=["root"])
                self._password = password
            self._was_ready = True
        elif self._replica_set:
            with self._client() as client:
                self._wait_for_primary(client)

    @staticmethod
    def _as(name, password, uri, *, source="admin"):
        credentials = f"{quote(name, safe='')}:{quote(password, safe='')}@"
        uri = uri.replace("//", f"//{credentials}", 1)
        return f"{uri}{'&' if '?' in uri else '?'}authSource={quote(source, safe='')}"
