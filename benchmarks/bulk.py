"""Invoices by the million, for benchmarks.

Bytes are put together from a few templates, some hundred thousand documents a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from random import Random
from typing import Any, Final

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from newbi_migrate.demo.documents import FACTORIES, FactoryContext, make_user
from newbi_migrate.demo.people import object_id
from newbi_migrate.errors import UsageError

__all__ = ["bulk_invoices", "bulk_owners"]

_TEMPLATES: Final = 16
_BORN: Final = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp())
_SECONDS: Final = 500 * 86_400
# What a template holds where each document has its own; as long as what takes its place.
_ID: Final = ObjectId(b"\xfe" * 12)
_OWNER: Final = ObjectId(b"\xfd" * 12)
_NUMBER: Final = "#" * 9


def bulk_owners(count: int, *, seed: int = 0) -> list[ObjectId]:
    """Ids of pretended users, in order."""
    rng = Random(f"{seed}:bulk:owners")
    return [object_id(rng, _BORN + number) for number in range(count)]


def bulk_invoices(
    count: int,
    owners: Sequence[ObjectId],
    *,
    zipf: float = 1.1,
    size: int = 1024,
    seed: int = 0,
    batch: int = 1000,
) -> Iterator[list[RawBSONDocument]]:
    """Yield batches of legacy invoices for ``insert_many(batch, ordered=False)``.

    Ids ascend, as those of an application do; numbers are unique among all of them.

    Args:
        count: Number of invoices.
        owners: Ids of their owners, who own fewer the later they stand.
        zipf: Exponent of Zipf's law; 0 gives each owner as many.
        size: Bytes of a document, give or take a tenth; at least what its fields take.
        seed: Decides everything that is left to chance.
        batch: Documents in a batch.

    Raises:
        UsageError: There is no owner, or a batch of no documents.
    """
    if not owners or batch < 1:
        raise UsageError(
            f"Invoices of {len(owners)} owners in batches of {batch} cannot be made.",
            next_step="Give at least one owner and one document a batch.",
        )
    rng = Random(f"{seed}:bulk:{count}")
    templates = [_template(rng, size) for _ in range(_TEMPLATES)]
    weights = list(accumulate(1 / (rank + 1) ** zipf for rank in range(len(owners))))
    hexes = [owner.binary for owner in owners]
    for start in range(0, count, batch):
        here = min(batch, count - start)
        chosen = rng.choices(hexes, cum_weights=weights, k=here)
        noise = rng.randbytes(5 * here)
        documents = []
        for offset in range(here):
            number = start + offset
            seconds = _BORN + _SECONDS * number // count
            identifier = (
                seconds.to_bytes(4, "big")
                + noise[5 * offset : 5 * offset + 5]
                + (number % 0x1000000).to_bytes(3, "big")
            )
            first, second, third, last = templates[number % _TEMPLATES]
            documents.append(
                RawBSONDocument(
                    first + identifier + second + b"%09d" % number + third + chosen[offset] + last
                )
            )
        yield documents


def _template(rng: Random, size: int) -> tuple[bytes, bytes, bytes, bytes]:
    """An invoice cut where its ``_id``, its number and its owner stand."""
    user: dict[str, Any] = make_user(rng, _OWNER, 0)
    draft = FactoryContext(rng, _ID, user, 1, datetime(2025, 6, 2, 9, 30, tzinfo=UTC), {})
    invoice = FACTORIES["invoices"](draft)
    invoice["number"] = _NUMBER
    wanted = round(size * rng.uniform(0.9, 1.1))
    # The snapshots are what makes an invoice large; a small one does without some of them.
    for part in ("companyInfo", "appearance", "customFields", "client"):
        if len(bson.encode(invoice)) <= wanted - 32:
            break
        invoice.pop(part)
    room = wanted - len(bson.encode({**invoice, "footerNotes": ""}))
    if room > 0:
        invoice["footerNotes"] = "x" * room
    whole = bson.encode(invoice)
    first, rest = whole.split(_ID.binary, 1)
    second, rest = rest.split(_NUMBER.encode(), 1)
    third, last = rest.split(_OWNER.binary, 1)
    return first, second, third, last
