"""Hostile inputs for every reader of files and of raw BSON.

``python tests/support/fuzzing.py 1000000`` is as many as that; the suite tries some thousand.

Each reader gets mutations of what it reads: bits, bytes, sizes and pieces of bytes, and, of JSON,
keys, types and nesting. It may answer, or refuse in the one way it says it does. Anything else, and
an answer that takes more than a second of this process, is a finding.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import struct
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import bson
import pyrage
from bson import Binary, ObjectId
from bson.errors import InvalidBSON
from mongodump_samples import SAMPLES, Folder
from results import a_plan

from newbi_migrate.backup.compress import gunzip
from newbi_migrate.backup.dump import Dump
from newbi_migrate.backup.encrypt import read_identities
from newbi_migrate.backup.export_list import LIST, ExportEntry, list_text, whole_exports
from newbi_migrate.backup.files import FileSeal, seal_of
from newbi_migrate.backup.manifest import (
    FORMAT,
    CollectionEntry,
    Consistency,
    Manifest,
    _seal,
)
from newbi_migrate.backup.metadata import MetadataError, parse_metadata
from newbi_migrate.backup.opening import BackupFolder
from newbi_migrate.backup.reading import (
    DamagedDataError,
    in_clear,
    read_failures,
    whole_documents,
)
from newbi_migrate.errors import DamagedBackupError, UsageError
from newbi_migrate.migration.planning.plan_file import load_plan, plan_lines
from newbi_migrate.store.decoding import decode
from newbi_migrate.store.digest import Digest, spans, without_fields
from newbi_migrate.store.raw import (
    document_of,
    element_at,
    elements,
    has_room_at,
    set_back,
    split_documents,
    unpack_ids,
)

SLOW_SECONDS = 1.0
_SIZES = [0, 1, 4, 5, 127, 128, 255, 256, 0x7FFFFFFF, -1, -5, 1 << 24]
_ATOMS = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "$oid",
    "../../etc/passwd",
    "\0",
    "\ud800",
    "é" * 300,
    [],
    {},
    {"$numberInt": "x"},
    {"$numberLong": "9" * 40},
    {"$date": {"$numberLong": "9" * 18}},
    {"$binary": {"base64": "=", "subType": "zz"}},
    {"$regularExpression": {"pattern": "\0", "options": "q"}},
    {"$code": "f", "$scope": {"a": 1}},
    {"$timestamp": {"t": -1, "i": 10**12}},
    {"$numberDecimal": "1E9999999"},
    {"$numberDouble": "Infinity"},
    {"$minKey": 1},
    {"$undefined": True},
]


# -- mutations --------------------------------------------------------------------------------


def mutated_bytes(chance, data):
    """Some bytes of it are others, cut, repeated, or a size that lies."""
    found = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(7):
            case 0 if found:
                found[at % len(found)] ^= 1 << chance.randrange(8)
            case 1:
                found[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 2:
                del found[at : at + chance.randrange(1, 20)]
            case 3:
                del found[at:]
            case 4:
                found[at : at + 4] = struct.pack("<i", chance.choice(_SIZES))
            case 5:
                found += found[at : at + chance.randrange(1, 40)]
            case 6 if found:
                found[at % len(found)] = chance.randrange(256)
    return bytes(found)


def mutated_json(chance, value):
    """One or some values in it are others; keys are missing, double, renamed, nested."""
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        value = _changed(chance, value)
    return value


def _changed(chance, value):
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        found = dict(value)
        match chance.randrange(8):
            case 0:
                del found[key]
            case 1:
                found[chance.choice(["$oid", "", "a.b", "$", "name", "\0"])] = found.pop(key)
            case 2:
                found[chance.choice(["extra", "$scope", "$db"])] = chance.choice(_ATOMS)
            case _:
                found[key] = _changed(chance, found[key])
        return found
    if isinstance(value, list) and value and chance.random() < 0.85:
        found = list(value)
        at = chance.randrange(len(found))
        match chance.randrange(5):
            case 0:
                del found[at]
            case 1:
                found.append(found[at])
            case _:
                found[at] = _changed(chance, found[at])
        return found
    if chance.random() < 0.05:
        deep = chance.choice([10, 150, 400])
        for _ in range(deep):
            value = [value] if chance.random() < 0.5 else {"a": value}
        return value
    return chance.choice(_ATOMS)


def _text(chance, value):
    """JSON of a mutated value, now and then with its bytes mutated too."""
    text = json.dumps(mutated_json(chance, value))
    if chance.random() < 0.2:
        return mutated_bytes(chance, text.encode()).decode("utf-8", "replace")
    return text


# -- what is read -----------------------------------------------------------------------------

_DOCUMENT = {
    "_id": ObjectId("64b000000000000000000000"),
    "name": "Été",
    "n": {"a": [1, {"b": 2.5}], "workspaceId": None},
    "workspaceId": ObjectId("64b0000000000000000000ff"),
    "binary": Binary(b"abc", 2),
}
_BSON = bson.encode(_DOCUMENT)
_BATCH = _BSON * 3 + bson.encode({"_id": 1})
_METADATA = {
    "options": {
        "validator": {"$and": [{"a": {"$regex": "x", "$ne": "y"}}]},
        "capped": True,
        "size": {"$numberLong": "4096"},
        "collation": {"locale": "fr", "strength": {"$numberInt": "2"}},
    },
    "indexes": [
        {"v": {"$numberInt": "2"}, "key": {"a": {"$numberDouble": "1.0"}}, "name": "a_1"},
        {"v": 1, "key": {"b": 1}, "name": "b_1", "at": {"$date": {"$numberLong": "5"}}},
    ],
    "uuid": "0" * 32,
    "collectionName": "x",
    "type": "collection",
}
_MANIFEST = Manifest(
    tool="newbi-migrate 0",
    database="shop",
    server="6.0.5",
    topology="standalone",
    started="2026-01-02T03:04:05.000+00:00",
    finished="2026-01-02T03:04:06.000+00:00",
    consistency=Consistency.QUIET,
    snapshot=(1, 2),
    without=("workspaceId",),
    compression="isal",
    encrypted=False,
    unfinished_run=None,
    notes=(),
    collections=(
        CollectionEntry(
            *("x", "collection", "", "shop/x.bson.gz", "shop/x.metadata.json.gz", 1, 22),
            *("0" * 32, "0" * 32, 22, "0" * 32, "0" * 32),
            Consistency.QUIET,
        ),
    ),
    exports=(),
    files={"shop/x.bson.gz": FileSeal(3, "0"), "shop/x.metadata.json.gz": FileSeal(3, "0")},
).to_json()
_PLAN = "".join(plan_lines(a_plan()))
_PLAN_BODY = _PLAN[: _PLAN.rindex('"checksum"')].encode()


def metadata(chance):
    """A metadata file: an answer can be sent to a server."""
    read = parse_metadata(_text(chance, _METADATA))
    bson.encode({"create": read.name, **read.options})
    bson.encode({"indexes": list(read.indexes)})


def manifest(chance):
    """A manifest that was sealed again after it was changed."""
    body = {key: value for key, value in _MANIFEST.items() if key != "seal"}
    body = mutated_json(chance, body)
    if isinstance(body, dict) and chance.random() < 0.95:
        body["format"] = FORMAT
        body["seal"] = _seal({key: value for key, value in body.items() if key != "seal"})
    text = json.dumps(body)
    if chance.random() < 0.1:
        text = mutated_bytes(chance, text.encode()).decode("utf-8", "replace")
    found = Manifest.from_json(text, where="it")
    for entry in found.collections:
        assert not {"..", ""} & set(entry.metadata.split("/"))


def documents(chance):
    """A file of documents: what is given is what was there."""
    data = mutated_bytes(chance, _BATCH)
    assert data == b"".join(whole_documents(io.BytesIO(data)))


def compressed(chance):
    """A compressed file of documents."""
    data = mutated_bytes(chance, _ZIPPED)
    if chance.random() < 0.5:
        data = gzip.compress(mutated_bytes(chance, _BATCH), 1, mtime=0)
    with read_failures():
        for _ in whole_documents(gunzip(io.BytesIO(data))):
            pass


_ZIPPED = gzip.compress(_BATCH, mtime=0)


def _nested(chance):
    """Now and then, documents in documents, or arrays, deeper than any program goes."""
    if chance.random() > 0.01:
        return b""
    found = b"\x05\0\0\0\0"
    kind = chance.choice([b"\x03", b"\x04"])
    for _ in range(chance.choice([150, 1_500, 5_000])):
        found = struct.pack("<i", len(found) + 8) + kind + b"0\0" + found + b"\0"
    return found


def raw_bson(chance):
    """Bytes that a server sent, or a file holds."""
    raw = mutated_bytes(chance, _nested(chance) or _BSON)
    assert raw == document_of(*elements(raw)).raw
    element_at(raw, "n.a")
    has_room_at(raw, "n.b.c")
    set_back(raw, ["n", "workspaceId"], (0x0A, b""), None)
    set_back(raw, ["workspaceId"], (0x07, bytes(12)), (0x0A, b""))
    without_fields(raw, ["workspaceId"])


def raw_batch(chance):
    """Documents that stand one after the other."""
    batch = mutated_bytes(chance, _BATCH)
    Digest(["workspaceId"]).add_batch(batch)
    assert batch == b"".join(batch[start:end] for start, end in spans(batch))
    assert batch == b"".join(split_documents(batch))


def decoding(chance):
    """A document that the driver may not decode."""
    decode(mutated_bytes(chance, _nested(chance) or _BSON))


def packed_ids(chance):
    """Ids as the journal packs them."""
    list(unpack_ids(mutated_bytes(chance, bytes(36))))


def plan(chance, folder):
    """A saved plan."""
    path = folder / "plan.json"
    whole = chance.random() < 0.5
    content = mutated_bytes(chance, _PLAN.encode() if whole else _PLAN_BODY)
    if not whole:
        # Whoever changes a plan may write its checksum anew.
        checksum = blake2b(content, digest_size=16).hexdigest()
        content += f'"checksum": "{checksum}"}}\n'.encode()
    path.write_bytes(content)
    load_plan(path)


def dump(chance, folder):
    """A folder of mongodump of any kind, one of whose files is another."""
    path = folder / "dump"
    shutil.rmtree(path, ignore_errors=True)
    SAMPLES[chance.choice(_KINDS)][0](Folder(path))
    file = chance.choice(sorted(one for one in path.rglob("*") if one.is_file()))
    match chance.randrange(4):
        case 0:
            file.unlink()
        case 1:
            name = chance.choice(["x.bson", "%zz.bson", "$admin.bson", ".bson", "a.metadata.json"])
            file.rename(file.with_name(name))
        case _:
            file.write_bytes(mutated_bytes(chance, file.read_bytes()))
    found = Dump(path)
    for collection in found.collections:
        try:
            for _ in found.batches_of(collection):
                pass
        except DamagedDataError:
            return


_KINDS = sorted(SAMPLES)


def exports(chance, folder):
    """The list of a backup's exports: those that are whole are given, whatever else it says."""
    path = folder / "backup"
    file = path / "json_exports" / "x.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"{}\n")
    with file.open("rb") as written:
        seal = seal_of(written)
    entry = ExportEntry("x", "json_exports/x.json", 1, 0, seal.bytes, seal.digest)
    listed = _text(chance, json.loads(list_text([entry])))
    (path / LIST).write_bytes(listed.encode("utf-8", "surrogatepass"))
    for found in whole_exports(BackupFolder(path)):
        assert seal == FileSeal(found.bytes, found.digest)


def encrypted(chance):
    """An encrypted file of documents; what its key opens is what was there."""
    data = mutated_bytes(chance, _SEALED)
    if chance.random() < 0.3:
        data = pyrage.encrypt(mutated_bytes(chance, _ZIPPED), [_PUBLIC])
    file = io.BufferedReader(io.BytesIO(data))
    with read_failures(), in_clear(file, [_SECRET], name="x.bson.gz.age") as stream:
        for _ in whole_documents(stream):
            pass


def keys(chance, folder):
    """A file of secret keys."""
    path = folder / "keys"
    path.write_bytes(mutated_bytes(chance, f"# of nobody\n{_SECRET}\n".encode()))
    read_identities([path])


# Drawn anew in each process: a text that looks like a secret key has no place in a repository.
_SECRET = pyrage.x25519.Identity.generate()
_PUBLIC = _SECRET.to_public()
_SEALED = pyrage.encrypt(_ZIPPED, [_PUBLIC])


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        read: Gives it one mutated input.
        refusals: How it may refuse.
        share: Of a thousand inputs, how many it gets.
        on_disk: Whether it reads files.
    """

    read: object
    refusals: tuple
    share: int
    on_disk: bool = False


TARGETS = {
    target.read.__name__: target
    for target in (
        Target(metadata, (MetadataError,), 200),
        Target(manifest, (DamagedBackupError, UsageError), 150),
        Target(documents, (DamagedDataError,), 100),
        Target(compressed, (DamagedDataError,), 100),
        Target(raw_bson, (ValueError, InvalidBSON), 150),
        Target(raw_batch, (ValueError,), 70),
        Target(decoding, (InvalidBSON,), 100),
        Target(packed_ids, (ValueError,), 10),
        Target(plan, (UsageError,), 50, on_disk=True),
        Target(dump, (UsageError,), 20, on_disk=True),
        Target(exports, (), 30, on_disk=True),
        Target(encrypted, (DamagedDataError,), 10),
        Target(keys, (UsageError,), 10, on_disk=True),
    )
}


def attack(name, seed, folder):
    """One input; whether the reader took it.

    Raises:
        AssertionError: It answered wrongly, slowly, or in a way it does not say.
    """
    target = TARGETS[name]
    chance = random.Random(seed)  # repeatable, not secret
    begun = time.process_time()
    try:
        target.read(chance, folder) if target.on_disk else target.read(chance)
    except target.refusals:
        return False
    except BaseException as error:
        raise AssertionError(f"{name}, seed {seed}: {error!r}") from error
    finally:
        took = time.process_time() - begun
    if took > SLOW_SECONDS:
        raise AssertionError(f"{name}, seed {seed}: {took:.1f} s")
    return True


def _say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(number, *names):
    """That many inputs, or the named readers' shares of them; what came of them, and findings."""
    taken, refused, findings = Counter(), Counter(), []
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for name in names or TARGETS:
            for seed in range(number * TARGETS[name].share // 1000):
                try:
                    (taken if attack(name, seed, Path(folder)) else refused)[name] += 1
                except AssertionError as error:
                    findings.append(str(error))
            _say(f"{name}: {taken[name]:,} read, {refused[name]:,} refused")
    total = taken.total() + refused.total()
    _say(f"{total:,} inputs, {len(findings)} findings, {time.perf_counter() - begun:.0f} s")
    for finding in findings[:20]:
        _say(finding)
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main(int((sys.argv[1:] or ["10000"])[0]), *sys.argv[2:]))
