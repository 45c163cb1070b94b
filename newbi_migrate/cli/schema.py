"""``newbi-migrate schema``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from newbi_migrate.cli import options as opt
from newbi_migrate.cli.running import say
from newbi_migrate.cli.streams import answering
from newbi_migrate.errors import UsageError

__all__ = ["schema"]


def schema(
    *,
    collection: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            metavar="NAME",
            help="Only this one; may be repeated.",
            show_default="all that are described",
        ),
    ] = None,
    call: opt.Answering,
) -> None:
    """Print the validator of each collection, generated from the models; needs no database.

    The answer is one JSON document: each collection's name, to what collMod and createCollection
    take for validator. Rules that a $jsonSchema cannot say are named on standard error, and
    validate checks them all the same.
    """
    with call.session("schema"):
        from newbi_migrate.documents.json_schema import models_of, rules_left_out, validator_of

        models = models_of()
        wanted = list(dict.fromkeys(collection or models))
        unknown = [name for name in wanted if name not in models]
        if unknown:
            raise UsageError(
                f"No collection called {unknown[0]!r} is described.",
                next_step=f"There are {', '.join(models)}.",
            )
        for name in wanted:
            left_out = ", ".join(rule.id for rule in rules_left_out(models[name]))
            if left_out:
                say(f"note: {name}: a $jsonSchema does not say {left_out}; validate checks it.")
        with answering():
            print(json.dumps({name: validator_of(models[name]) for name in wanted}, indent=2))
