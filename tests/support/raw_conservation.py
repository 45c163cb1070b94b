"""A second opinion on conservation, which shares no code with the package.

It reads the bytes of BSON itself, and holds in a few plain rules what a migration may do to a
database. What the package believes of its own work is asked of nobody here but for its counts,
which have to be those that are found.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict

OBJECT_ID, STRING, NULL, DOCUMENT, ARRAY = 7, 2, 10, 3, 4
TOOL = "newbi_migrate_"
WORKSPACE = b"workspaceId"
TARGETS = {"user", "account", "organization", "member"}

# Collection to the fields that name users.
OWNERS = {
    **dict.fromkeys(("invoices", "quotes", "creditnotes", "clients", "expenses"), ("createdBy",)),
    **dict.fromkeys(("documentsettings", "products", "emailsignatures"), ("createdBy",)),
    **dict.fromkeys(("transactions", "accounts_bankings", "bridgeaccounts"), ("userId",)),
    **dict.fromkeys(("events", "ocr_documents", "boards", "filetransfers"), ("userId",)),
    **dict.fromkeys(("columns", "tasks", "integrations", "stripeconnectaccounts"), ("userId",)),
    "referralevents": ("referrerId", "referredUserId"),
    "accessgrants": ("buyerId",),
}
PARENTS = {"columns": ("boardId", "boards"), "tasks": ("boardId", "boards")}
_TEXT_WORKSPACE = {"transactions", "accounts_bankings", "filetransfers", "api_metrics"}
_NOT_SCOPED = {"integrations", "stripeconnectaccounts", "referralevents", "accessgrants"}
# Collection to the BSON type in which it holds a workspace.
SCOPED = {
    name: STRING if name in _TEXT_WORKSPACE else OBJECT_ID
    for name in [*OWNERS, "api_metrics"]
    if name not in _NOT_SCOPED
}
_FIXED = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0}


def elements(data):
    """The elements of a document in their order: name, type and bytes of the value."""
    assert len(data) == int.from_bytes(data[:4], "little"), "a document of another size"
    found, at = [], 4
    while data[at]:
        kind, end = data[at], data.index(0, at + 1)
        begin = end + 1
        if kind in _FIXED:
            size = _FIXED[kind]
        elif kind in {2, 13, 14}:
            size = 4 + _int(data, begin)
        elif kind in {3, 4, 15}:
            size = _int(data, begin)
        elif kind == 5:
            size = 5 + _int(data, begin)
        elif kind == 12:
            size = 16 + _int(data, begin)
        elif kind == 11:
            size = data.index(0, data.index(0, begin) + 1) + 1 - begin
        else:
            raise AssertionError(f"type {kind}")
        found.append((data[at + 1 : end], kind, data[begin : begin + size]))
        at = begin + size
    assert at == len(data) - 1, "bytes after the end"
    return found


def _int(data, at):
    return struct.unpack_from("<i", data, at)[0]


def split(batch):
    """The documents of a raw batch."""
    at = 0
    while at < len(batch):
        size = _int(batch, at)
        yield batch[at : at + size]
        at += size


def snapshot(database):
    """Collection to each document's bytes by the type and bytes of its ``_id``."""
    found = {}
    for info in database.list_collections():
        name = info["name"]
        if info["type"] == "view" or name.startswith((TOOL, "system.")):
            continue
        documents = found[name] = {}
        for batch in database[name].find_raw_batches({}):
            for document in split(batch):
                documents[_get(elements(document), b"_id")] = document
    return found


def _get(found, name):
    return next(((kind, value) for each, kind, value in found if each == name), None)


def _text(value):
    """The text of an element, if it is one."""
    if value is None or value[0] != STRING:
        return None
    return value[1][4:-1].decode("utf-8", "replace")


def _as_id(value):
    """The 12 bytes of an ObjectId, however an application wrote it."""
    if value is None:
        return None
    kind, data = value
    if kind == OBJECT_ID:
        return data
    if kind == DOCUMENT:
        inner = elements(data)
        return _as_id((STRING, inner[0][2])) if [e[0] for e in inner] == [b"$oid"] else None
    text = (_text(value) or "").strip()
    try:
        return bytes.fromhex(text) if len(text) == 24 else None
    except ValueError:
        return None


def _address(document):
    text = _text(_get(elements(document), b"email")) or ""
    return text.replace("\ufeff", "").strip().lower()


class Conservation:
    """What differs between two snapshots, and what of it no migration may do.

    Args:
        before: The snapshot from before a migration.
        after: The one from afterwards.
        source: The collection of the legacy users.

    Attributes:
        wrong: One line for each thing that may not be.
        written: Collection to the number of documents of the business that changed.
        stamped: Collection to the number of documents whose workspace changed.
        rewritten: Collection to the number of documents of which an owner changed.
        created: Collection to the number of new documents.
    """

    def __init__(self, before, after, source="Users"):
        self.before, self.after, self._source = before, after, source
        self.wrong = []
        self.written, self.created = Counter(), Counter()
        self.stamped, self.rewritten = Counter(), Counter()
        self._organizations = {_as_id(i) for i in after.get("organization", {})}
        self._had = {_as_id(i) for i in before.get("organization", {})}
        self._workspaces = defaultdict(set)
        for each in map(elements, after.get("member", {}).values()):
            user, workspace = _get(each, b"userId"), _get(each, b"organizationId")
            self._workspaces[_as_id(user)].add(_as_id(workspace))
        self._addresses = {i: _address(each) for i, each in before.get(source, {}).items()}
        self._users = defaultdict(set)
        for identifier, each in after.get("user", {}).items():
            self._users[_address(each)].add(_as_id(identifier))
        self._compare()

    def _say(self, name, identifier, line):
        self.wrong.append(f"{name} {identifier}: {line}")

    def _compare(self):
        for name in sorted(self.before.keys() | self.after.keys()):
            before, after = self.before.get(name, {}), self.after.get(name, {})
            for identifier in before.keys() - after.keys():
                self._say(name, identifier, "is lost")
            new = after.keys() - before.keys()
            if name in TARGETS:
                self.created[name] = len(new)
                for identifier in new:
                    self._created(name, identifier, elements(after[identifier]))
            else:
                for identifier in new:
                    self._say(name, identifier, "came from nowhere")
            for identifier in before.keys() & after.keys():
                if before[identifier] != after[identifier]:
                    self._changed(name, identifier, before[identifier], after[identifier])

    def _changed(self, name, identifier, before, after):
        was, now = elements(before), elements(after)
        if name in TARGETS:
            self._filled(name, identifier, was, now)
        elif name in OWNERS or name in SCOPED:
            self._stamped(name, identifier, was, now)
        else:
            self._say(name, identifier, "changed")

    # -- users --------------------------------------------------------------------------------

    def _created(self, name, identifier, document):
        """Each leads to a legacy user."""
        if name == "user" and identifier not in self.before.get(self._source, {}):
            self._say(name, identifier, "is nobody's")
        if name == "account" and not self._is_user(_get(document, b"userId")):
            self._say(name, identifier, "is nobody's account")
        if name == "organization" and not any(
            _as_id(identifier) in each for each in self._workspaces.values()
        ):
            self._say(name, identifier, "has no member")
        if name == "member":
            organization = _as_id(_get(document, b"organizationId"))
            if not self._is_user(_get(document, b"userId")):
                self._say(name, identifier, "is nobody's membership")
            if organization not in self._organizations:
                self._say(name, identifier, "is of no organization")

    def _is_user(self, value):
        return (OBJECT_ID, _as_id(value)) in self.after.get("user", {})

    def _filled(self, name, identifier, was, now, path=""):
        """Nothing that said something is another now; what is new comes after it."""
        names = [each for each, _, _ in was]
        if names != [each for each, _, _ in now][: len(names)]:
            self._say(name, identifier, f"has its fields in another order {path}")
            return
        for (field, kind, value), (_, kind_now, value_now) in zip(was, now, strict=False):
            if (kind, value) == (kind_now, value_now) or _says_nothing(kind, value):
                continue
            here = f"{path}{field.decode('utf-8', 'replace')}"
            if kind == kind_now == DOCUMENT:
                self._filled(name, identifier, elements(value), elements(value_now), f"{here}.")
            else:
                self._say(name, identifier, f"{here} was overwritten")

    # -- documents ----------------------------------------------------------------------------

    def _stamped(self, name, identifier, was, now):
        fields = {field.encode() for field in OWNERS.get(name, ())}
        if [e[0] for e in was if e[0] != WORKSPACE] != [e[0] for e in now if e[0] != WORKSPACE]:
            self._say(name, identifier, "has other fields, or in another order")
            return
        others = {e[0]: e[1:] for e in was}
        owners_changed = False
        for field, kind, value in now:
            if field == WORKSPACE or others.get(field) == (kind, value):
                continue
            if field not in fields or not self._is_alias(others[field], (kind, value)):
                self._say(name, identifier, f"{field!r} changed")
            owners_changed = True
        self.written[name] += 1
        self.rewritten[name] += owners_changed
        before, after = _get(was, WORKSPACE), _get(now, WORKSPACE)
        if before != after:
            self.stamped[name] += 1
            self._workspace(name, identifier, was, now)

    def _is_alias(self, before, after):
        """Whether the first names a legacy user, and the second a user of the same address."""
        return _as_id(after) in self._same_address(_as_id(before))

    def _workspace(self, name, identifier, was, now):
        before, after = _get(was, WORKSPACE), _get(now, WORKSPACE)
        if name not in SCOPED:
            self._say(name, identifier, "is of a collection without workspaces")
            return
        if before is None and now[-1][0] != WORKSPACE:
            self._say(name, identifier, "its workspace is not at the end")
        if before is not None and [e[0] for e in was] != [e[0] for e in now]:
            self._say(name, identifier, "its workspace moved")
        workspace = _as_id(after)
        if after is None or after[0] != SCOPED[name] or workspace not in self._organizations:
            self._say(name, identifier, f"has {after} for a workspace")
            return
        held = _as_id(before)
        if held in self._had:
            if before[0] == SCOPED[name]:
                self._say(name, identifier, "had a workspace and has another")
            elif held != workspace:
                self._say(name, identifier, "had another workspace of the wrong type")
        elif workspace not in self._belongs_to(name, now, held):
            self._say(name, identifier, "is in a workspace of somebody else")

    def _belongs_to(self, name, document, held):
        """The workspaces of its owner, or the one of the document it is part of.

        Where no owner is named, an application may have written a user's id for the workspace.
        """
        found = set()
        if name in PARENTS:
            field, collection = PARENTS[name]
            parent = self.after.get(collection, {}).get(_get(document, field.encode()))
            if parent is not None:
                found.add(_as_id(_get(elements(parent), WORKSPACE)))
        owner = _get(document, OWNERS[name][0].encode()) if name in OWNERS else None
        user = held if owner is None or _says_nothing(*owner) else _as_id(owner)
        users = {user, *self._same_address(user)}
        return found.union(*(self._workspaces.get(each, ()) for each in users))

    def _same_address(self, user):
        """Whom a legacy user may have become."""
        address = self._addresses.get((OBJECT_ID, user))
        return self._users[address] if address else ()


def _says_nothing(kind, value):
    return kind == NULL or (kind == STRING and not value[4:-1].strip())
