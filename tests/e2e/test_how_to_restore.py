"""The recipe of docs/how-to/restore-one-collection.md, run as it stands there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import bson

from newbi_migrate import ExitCode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "restore-one-collection.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_the_recipe_gets_deleted_documents_back(quick, clean, servers, mongod, tmp_path):
    """Deleted invoices return to the byte, with their workspace; the others stay as they are."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    assert ExitCode.DONE == quick("migrate", "--confirm", "--backup", backup).code
    stamped = {document["_id"]: bson.encode(document) for document in clean["invoices"].find()}
    clean["invoices"].delete_many({"number": {"$in": ["000001", "000002"]}})
    clean["invoices"].update_one({"number": "000003"}, {"$set": {"title": "edited since"}})
    edited = clean["invoices"].find_one({"title": "edited since"})
    rescue = f"{clean.name}_rescue"
    (tmp_path / "rescue.uri").write_text(mongod.uri_for(rescue))
    page = {"newbi_rescue": rescue, "BACKUP": backup}
    ((pipeline,), commands) = map(json.loads, blocks("json")), blocks("console")
    pipeline[0]["$merge"]["into"]["db"] = clean.name
    try:
        for line in "".join(commands).splitlines():
            words = [page.get(word, word) for word in shlex.split(line)]
            assert ExitCode.DONE == quick(*words[1:]).code, line
        clean.client[rescue]["invoices"].aggregate(pipeline)
    finally:
        servers.drop(rescue)

    stamped[edited["_id"]] = bson.encode(edited)
    assert stamped == {found["_id"]: bson.encode(found) for found in clean["invoices"].find()}


def test_a_collection_goes_back_into_its_own_place_and_out_of_it(quick, clean):
    """In a migrated database: restored, stamped by the command that is named, and settled."""
    backup = quick("backup", "--no-exports", "--json").json["path"]
    assert ExitCode.DONE == quick("migrate", "--confirm", "--backup", backup).code
    stamped = [bson.encode(document) for document in clean["invoices"].find()]
    clean["invoices"].delete_many({"number": {"$in": ["000001", "000002"]}})
    restoring, ending = [
        [shlex.split(line.replace("BACKUP", backup))[1:] for line in block.splitlines()]
        for block in blocks("sh")
    ]
    for words in restoring:
        dry = "--dry-run" in words
        ended = quick(*words, *([] if dry else ["--confirm"]), "--json")
        assert ExitCode.DONE == ended.code, words
    told = ended.json
    assert ExitCode.DONE == quick("backfill", "--confirm").code
    after = [bson.encode(document) for document in clean["invoices"].find()]
    for words in ending:
        ended = quick(*words, *([] if "--dry-run" in words else ["--confirm"]), "--json")
        assert ExitCode.DONE == ended.code, words

    assert {"invoices": len(stamped)} == told["withoutWorkspace"]
    assert sorted(stamped) == sorted(after)
    assert {told["putAside"]["invoices"]} == {*ended.json["collections"]}
