"""``schema`` prints validators as they are generated, without a database."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from node_packages import modules

from newbi_migrate.documents.json_schema import models_of, validator_of
from newbi_migrate.errors import ExitCode


def test_the_validators_of_all_collections_are_one_json_document(quick):
    """Each by the name of its collection, and no connection string is asked for."""
    answer = quick("schema", uri=None)
    expected = {name: validator_of(model) for name, model in models_of().items()}

    assert ExitCode.DONE == answer.code
    assert json.loads(json.dumps(expected)) == answer.json


def test_the_validator_of_one_collection_comes_with_what_it_cannot_say(quick):
    """On standard error, so that the document can be piped on."""
    answer = quick("schema", "--collection", "account", "--json", uri=None)

    assert ["account"] == list(answer.json)
    assert "account.credential-id" in answer.err


def test_a_collection_nobody_described_has_no_validator(quick):
    """It is named, and so are the others."""
    answer = quick("schema", "--collection", "jwks", uri=None)

    assert ExitCode.USAGE == answer.code
    assert "'jwks'" in answer.sentence
    assert "invoices" in answer.err


@pytest.mark.slow
@pytest.mark.node
def test_the_lines_of_the_page_give_the_server_a_validator(clean, uri, tmp_path):
    """As they stand there, with mongosh, and no connection string among the arguments."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "validators.md"
    (lines,) = re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    shell = modules("mongosh") / "mongosh" / "bin" / "mongosh.js"
    for name, command in {
        "newbi-migrate": f"{shlex.quote(sys.executable)} -m newbi_migrate",
        "mongosh": f"node {shlex.quote(str(shell))} --norc",
    }.items():
        (tmp_path / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (tmp_path / name).chmod(0o755)
    clean.create_collection("member")
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "MONGODB_URI": uri,
        },
        check=True,
        timeout=120,
    )
    (found,) = clean.list_collections(filter={"name": "member"})

    assert validator_of(models_of()["member"]) == found["options"]["validator"]
    assert "warn" == found["options"]["validationAction"]
