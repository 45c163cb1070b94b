"""What a migration must leave behind, worked out document by document in memory.

The engine reads in windows, groups on the server and writes by range; here every document is
decided about alone by the pure functions, and changed as MongoDB's ``$set`` changes it.
"""

from __future__ import annotations

import bson
from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from hypothesis import strategies as st
from small_worlds import IDS, Database, small_worlds

from newbi_migrate.documents.registry import CollectionSpec, IdType, ParentLink, Registry
from newbi_migrate.mapping.decisions import workspaces_after
from newbi_migrate.mapping.ids import organization_id
from newbi_migrate.mapping.users import Insert
from newbi_migrate.mapping.values import ABSENT, read_id
from newbi_migrate.mapping.workspace import Action, resolve
from newbi_migrate.store.decoding import PLAIN
from newbi_migrate.store.raw import document_of, elements
from newbi_migrate.testing import strategies

SOURCE = "Users"
BETTER_AUTH = ("user", "account", "organization", "member")
_BOARDS = ParentLink("board", "boards")
REGISTRY = Registry(
    [
        CollectionSpec("notes", "owner", IdType.OBJECT_ID, alias_fields=("reader",)),
        CollectionSpec("payments", "owner", IdType.STRING),
        CollectionSpec("metrics", None, IdType.OBJECT_ID),
        CollectionSpec("boards", "owner", IdType.OBJECT_ID),
        CollectionSpec("cards", "owner", IdType.OBJECT_ID, parent=_BOARDS),
        CollectionSpec("stamps", None, IdType.STRING, parent=_BOARDS),
        CollectionSpec("grants", "owner", None, alias_fields=("reader",)),
    ]
)
_RAW = CodecOptions(document_class=RawBSONDocument)
_BOARD_IDS = [ObjectId(f"66b{n:021d}") for n in range(3)]


# -- drawing ------------------------------------------------------------------------------------


def _in_any_form(identifier):
    return st.sampled_from(
        [
            identifier,
            identifier,
            str(identifier),
            str(identifier).upper(),
            {"$oid": str(identifier)},
        ]
    )


_ODD = st.one_of(
    st.sampled_from([..., None, "", " ", "undefined", ObjectId("f" * 24)]),
    strategies.bson_values(),
)
_ANY_IDS = st.one_of(
    st.integers(0, 9), st.sampled_from(["a", "é", 1.5, True, None, {"x": 1}]), strategies.dates()
)


def _mostly(usual, odd=_ODD):
    return st.integers(0, 5).flatmap(lambda n: odd if n == 0 else usual)


@st.composite
def _documents(draw, ids, users, organizations):
    people = st.sampled_from(users).flatmap(_in_any_form)
    workspaces = st.sampled_from([*organizations, *users]).flatmap(_in_any_form)
    fields = {
        "owner": _mostly(people),
        "reader": _mostly(people),
        "workspaceId": st.one_of(st.just(...), workspaces, _ODD),
        "board": _mostly(st.sampled_from(_BOARD_IDS).flatmap(_in_any_form)),
        "number": _ODD,
        "é.x": st.just(1),
    }
    found = {}
    for identifier in draw(ids):
        names = draw(st.permutations(list(fields)))
        drawn = {name: draw(fields[name]) for name in names}
        found[bson.encode({"": identifier})] = {
            "_id": identifier,
            **{name: value for name, value in drawn.items() if value is not ...},
        }
    return list(found.values())


@st.composite
def worlds(draw):
    """Collections of a legacy database, by name: users, Better Auth and what is registered.

    Most legacy users can be migrated, and most documents are somebody's.
    """
    legacy, existing = draw(small_worlds().filter(lambda world: world[0]))
    world = {name: existing.every(name) for name in BETTER_AUTH}
    world[SOURCE] = legacy
    users = [d["_id"] for name in (SOURCE, "user") for d in world[name]]
    users = [identifier for identifier in users if isinstance(identifier, ObjectId)] or IDS
    organizations = [d["_id"] for d in world["organization"]] + [*map(organization_id, users)]
    same = draw(st.booleans())
    ids = st.lists(strategies.object_ids() if same else _ANY_IDS, max_size=5)
    for spec in REGISTRY:
        boards = st.lists(st.sampled_from(_BOARD_IDS), unique=True)
        which = boards if spec.name == "boards" else ids
        world[spec.name] = draw(_documents(which, users, organizations))
    return world


# -- reading ------------------------------------------------------------------------------------


def bytes_of(database):
    """Every document but those of run records: collection and raw ``_id`` to raw bytes."""
    found = {}
    for name in database.list_collection_names():
        if not name.startswith("newbi_migrate_"):
            raws = [bytes(d.raw) for d in database.get_collection(name, _RAW).find()]
            found.update({(name, _id_of(raw)): raw for raw in raws})
    return found


def _id_of(raw):
    return next((kind, value) for name, kind, value in elements(raw) if name == "_id")


def _read(database, name):
    return list(database.get_collection(name, PLAIN).find(sort=[("_id", 1)]))


# -- the reference ------------------------------------------------------------------------------


def migrated(database, options):
    """What the database must hold afterwards, and what must be quarantined with which reason."""
    after = bytes_of(database)
    quarantined = []
    users = Database()
    for name in BETTER_AUTH:
        for document in _read(database, name):
            users.add(name, document)
    legacy = _read(database, SOURCE)
    planned = users.plan(
        legacy,
        duplicates=options.duplicate_emails,
        aliases=options.aliases,
    )
    for writes in planned:
        if writes.decision.reason is not None:
            quarantined.append((SOURCE, writes.decision.legacy_id, writes.decision.reason))
        for write in writes.writes:
            if isinstance(write, Insert):
                raw = bson.encode(write.document)
                assert (write.collection, _id_of(raw)) not in after
                after[write.collection, _id_of(raw)] = raw
            else:
                key = (write.collection, _id_of(bson.encode({"_id": write.id})))
                after[key] = _set(after[key], write.values)
    workspaces = workspaces_after(
        [document["_id"] for document in legacy],
        [writes.decision for writes in planned],
        users.target(),
    )
    for spec in REGISTRY:
        for document in _read(database, spec.name):
            resolution = resolve(
                spec,
                workspaces,
                stored=document.get("workspaceId", ABSENT),
                users=document,
                parent_workspace=_parent_workspace(spec, document, after, workspaces),
                rewrite_owners=options.alias_owners == "rewrite",
            )
            key = (spec.name, _id_of(bson.encode({"_id": document["_id"]})))
            after[key] = _set(after[key], resolution.changes)
            if resolution.action is Action.QUARANTINE:
                quarantined.append((spec.name, document["_id"], resolution.reason))
    return after, quarantined


def _parent_workspace(spec, document, after, workspaces):
    if spec.parent is None:
        return None
    link = read_id(document.get(spec.parent.field)).value
    # Parents come first in a registry: theirs is what it is going to be.
    raw = after.get((spec.parent.collection, _id_of(bson.encode({"_id": link}))))
    if raw is None:
        return None
    workspace = read_id(bson.decode(raw, PLAIN).get("workspaceId")).value
    return workspace if workspace in workspaces.organizations else None


def _set(raw, changes):
    """The document as ``$set`` leaves it: in place where a field is, else at the end by name."""
    parts = list(elements(raw))
    nested = {}
    for path in sorted(changes, key=lambda path: path.split(".")):
        name, dot, rest = path.partition(".")
        if dot:
            nested.setdefault(name, {})[rest] = changes[path]
            continue
        (part,) = elements(bson.encode({name: changes[path]}))
        position = next((n for n, (found, *_) in enumerate(parts) if found == name), len(parts))
        parts[position : position + 1] = [part]
    for name, inner in nested.items():
        position = next(n for n, (found, *_) in enumerate(parts) if found == name)
        parts[position] = (name, 0x03, _set(parts[position][2], inner))
    return bytes(document_of(*parts).raw)
