"""Files that only the holder of a key can read, in the age format (age-encryption.org/v1).

The library encrypts a whole stream in one call; a thread on each side of a short queue turns that
into writing and reading piece by piece, in flat memory.
"""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final, Protocol

from newbi_migrate.errors import LocalFileError, UsageError
from newbi_migrate.local_files import opened_for

__all__ = [
    "DecryptingReader",
    "EncryptingWriter",
    "Undecryptable",
    "new_identity",
    "read_identities",
    "read_recipients",
]

_LONGEST_KEYS: Final = 1 << 20
_NAME_KEYS: Final = "Name the file that age-keygen wrote."
_PIECES: Final = 16
_WAIT_SECONDS: Final = 0.1
_PIECE: Final = 1 << 18


class Undecryptable(Exception):  # noqa: N818  # an answer, not a fault of ours
    """None of the keys opens the file, or its bytes are changed."""


class _File(Protocol):
    def write(self, data: bytes, /) -> int: ...


def _library() -> Any:
    try:
        import pyrage
    except ImportError:
        raise UsageError(
            "Encrypted backups need the library pyrage, which is not installed.",
            next_step="Install newbi-migrate with the extra encryption.",
        ) from None
    return pyrage


def read_recipients(given: Sequence[str]) -> tuple[Any, ...]:
    """Public keys: ``age1…``, or an SSH key as in ``authorized_keys``.

    Raises:
        UsageError: One of them is none, or the library is missing.
    """
    if not given:
        return ()
    library = _library()
    keys = []
    for number, text in enumerate(given, start=1):
        try:
            kind = library.ssh if text.startswith("ssh-") else library.x25519
            keys.append(kind.Recipient.from_str(text.strip()))
        except (library.RecipientError, UnicodeError):
            raise UsageError(
                f"Recipient {number} is not a public key in the age format.",
                next_step="Give the line that begins with age1, never the secret key.",
            ) from None
    return tuple(keys)


def read_identities(files: Sequence[Path]) -> tuple[Any, ...]:
    """Secret keys from files as ``age-keygen`` writes them, or of SSH keys without passphrase.

    Raises:
        LocalFileError: A file holds none, or cannot be read.
        UsageError: The library is missing.
    """
    if not files:
        return ()
    library = _library()
    keys: list[Any] = []
    for path in files:
        try:
            with (
                opened_for("read", path, next_step=_NAME_KEYS),
                path.open(encoding="utf-8-sig") as file,
            ):
                text = file.read(_LONGEST_KEYS)
            if text.startswith("-----BEGIN"):
                keys.append(library.ssh.Identity.from_buffer(text.encode()))
                continue
            lines = [line.strip() for line in text.splitlines()]
            found = [line for line in lines if line and not line.startswith("#")]
            keys.extend(library.x25519.Identity.from_str(line) for line in found)
            if not found:
                raise LocalFileError(
                    f"The file {str(path)!r} holds no secret key.", next_step=_NAME_KEYS
                )
        except (UnicodeError, library.IdentityError):
            # The library's message quotes what it could not read.
            raise LocalFileError(
                f"The file {str(path)!r} holds no secret key that can be read.",
                next_step=_NAME_KEYS,
            ) from None
    return tuple(keys)


def new_identity() -> tuple[Any, Any]:
    """A new secret key and its public key, for one process and no longer."""
    identity = _library().x25519.Identity.generate()
    return identity, identity.to_public()


class EncryptingWriter:
    """Encrypts what is written.

    Args:
        file: Gets the encrypted bytes; it stays open.
        recipients: As :func:`read_recipients` gives them.
    """

    def __init__(self, file: _File, recipients: Sequence[Any]) -> None:
        self._library = _library()
        self._file = file
        self._recipients = list(recipients)
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_PIECES)
        self._rest = b""
        self._ended = False
        self._abandoned = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._encrypt, name="age", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> int:
        """Takes bytes in clear.

        Raises:
            OSError: The file could not be written.
        """
        view = memoryview(data)
        for start in range(0, len(data), _PIECE):
            self._put(bytes(view[start : start + _PIECE]))
        return len(data)

    def finish(self) -> None:
        """Returns when everything was given to the file."""
        self._put(None)
        self._thread.join()
        self._check()

    def abandon(self) -> None:
        """Ends the thread; what was written is of no use."""
        self._abandoned = True
        self._thread.join()

    def _put(self, piece: bytes | None) -> None:
        while True:
            self._check()
            try:
                self._pieces.put(piece, timeout=_WAIT_SECONDS)
            except queue.Full:
                continue
            return

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _encrypt(self) -> None:
        try:
            self._library.encrypt_io(_Source(self._next), _Target(self._give), self._recipients)
        except BaseException as error:  # noqa: BLE001  # told to whoever writes
            self._error = self._error or error

    def _give(self, data: bytes) -> None:
        try:
            self._file.write(bytes(data))
        except OSError as error:
            self._error = error
            raise

    def _next(self, size: int) -> bytes:
        while not self._rest and not self._ended:
            if self._abandoned:
                raise BrokenPipeError
            try:
                piece = self._pieces.get(timeout=_WAIT_SECONDS)
            except queue.Empty:
                continue
            if piece is None:
                self._ended = True
            else:
                self._rest = piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


class DecryptingReader(io.RawIOBase):
    """Reads an encrypted file in clear.

    Args:
        file: The encrypted file; it stays open.
        identities: As :func:`read_identities` gives them.
    """

    def __init__(self, file: IO[bytes], identities: Sequence[Any]) -> None:
        super().__init__()
        self._library = _library()
        self._file = file
        self._identities = list(identities)
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_PIECES)
        self._rest = memoryview(b"")
        self._ended = False
        self._abandoned = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._decrypt, name="age", daemon=True)
        self._thread.start()

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads some bytes.

        Raises:
            Undecryptable: No key fits, or the file is damaged.
        """
        while not self._rest and not self._ended:
            piece = self._pieces.get()
            if piece is None:
                self._ended = True
                if self._error is not None:
                    raise Undecryptable from self._error
            else:
                self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        """Ends the thread."""
        if not self.closed:
            self._abandoned = True
            self._thread.join()
        super().close()

    def _decrypt(self) -> None:
        try:
            self._library.decrypt_io(self._file, _Target(self._give), self._identities)
        except BaseException as error:  # noqa: BLE001  # told to whoever reads
            self._error = error
        self._offer(None)

    def _give(self, data: bytes) -> None:
        if not self._offer(bytes(data)):
            raise BrokenPipeError

    def _offer(self, piece: bytes | None) -> bool:
        while not self._abandoned:
            try:
                self._pieces.put(piece, timeout=_WAIT_SECONDS)
            except queue.Full:
                continue
            return True
        return False


class _Source:
    """What the library reads from."""

    def __init__(self, take: Any) -> None:
        self._take = take

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._take(size)
        return data


class _Target:
    """What the library writes to."""

    def __init__(self, give: Any) -> None:
        self._give = give

    def write(self, data: bytes) -> int:
        self._give(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""
