"""A rehearsal as a document, and what has come since one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final

from newbi_migrate.answers import answer
from newbi_migrate.checks import bytes_text
from newbi_migrate.errors import ExitCode
from newbi_migrate.masking import shown_id
from newbi_migrate.migration.planning.rehearsed import SinceRehearsal
from newbi_migrate.migration.rehearsal.results import Rehearsal, Step, Verdict
from newbi_migrate.report.document import (
    Badge,
    Block,
    Case,
    Cell,
    Document,
    Listing,
    Section,
    State,
    Tone,
    table_of,
)
from newbi_migrate.report.migration import plan_document
from newbi_migrate.report.text import counted

__all__ = ["rehearsal_document", "since_sentences", "with_rehearsal"]

_TONES: Final = {Verdict.GO: Tone.GOOD, Verdict.DECIDE: Tone.ODD, Verdict.NO_GO: Tone.BAD}
_WHERE: Final = (
    "With the connection string in MONGODB_URI or .env; else add --uri-file FILE, but not to smoke."
)
_SHOWN: Final = 10
_FEW: Final = 5


def rehearsal_document(
    rehearsal: Rehearsal, *, night: Sequence[str], next_command: str = ""
) -> Document:
    """The document of a rehearsal.

    Args:
        rehearsal: How it went.
        night: The commands to type on the night, in order; none where it must not come yet.
        next_command: What to run next.
    """
    verdict = rehearsal.verdict
    decided = () if rehearsal.plan is None else plan_document(rehearsal.plan).sections
    return Document(
        command="rehearse",
        database=rehearsal.database,
        title=f"Rehearsal with the backup {rehearsal.backup} of the database {rehearsal.database}",
        exit_code=rehearsal.exit_code,
        next_command=next_command,
        dry_run=True,
        sections=(
            Section("", (Badge(f"{verdict.value.capitalize()}.", _TONES[verdict]),)),
            *_reasons(rehearsal),
            _steps(rehearsal),
            *_to_decide(rehearsal),
            *(replace(section, detail=True) for section in decided),
            *_on_the_night(night),
        ),
        summary=tuple(_summary(rehearsal)),
        cases=tuple(map(_case, rehearsal.steps)),
        timings={step.name.value: step.seconds for step in rehearsal.steps},
        lines=lambda: ({"type": "step", **answer(step)} for step in rehearsal.steps),
        value=lambda: {**answer(rehearsal), "night": list(night)},
    )


def with_rehearsal(document: Document, since: SinceRehearsal) -> Document:
    """The document of a plan, with what has come since its rehearsal; 3 where it is another.

    Args:
        document: The document of the plan.
        since: What has come.
    """
    said = since_sentences(since)
    tone = Tone.GOOD if since.as_rehearsed else Tone.BAD
    blocks: list[Block] = [Badge(next(said), tone), *said]
    if not since.as_rehearsed:
        why = "not as rehearsed; rehearse again"
        document = replace(document, exit_code=ExitCode.PENDING, why=why)
    return replace(
        document,
        sections=(Section("Since the rehearsal", tuple(blocks)), *document.sections),
        value=lambda: {**document.value(), "sinceRehearsal": answer(since)},
    )


def since_sentences(since: SinceRehearsal) -> Iterator[str]:
    """What has come since a rehearsal, the verdict first."""
    if since.of_another:
        yield (
            "It is the rehearsal of another database: of "
            f"{counted(since.gone_users, 'legacy user')} who were rehearsed, none is in this one."
        )
    elif since.as_rehearsed:
        still = " and is still there" if since.gone_users else ""
        yield f"Everybody who was rehearsed{still} is decided about as in the rehearsal."
    else:
        yield f"{counted(len(since.others), 'decision is', 'decisions are')} not as rehearsed."
    for name, was in since.policy.items():
        yield f"The choice {name} was {was}."
    for one in islice(since.others, _SHOWN):
        yield f"{shown_id(one.id)}: {one.then}; now {one.now}."
    if len(since.others) > _SHOWN:
        yield f"and {len(since.others) - _SHOWN:,} more (--json lists all)"
    if since.new_users or since.gone_users:
        yield f"Legacy users that are new: {since.new_users:,}; gone: {since.gone_users:,}."
    if since.documents:
        more = ", ".join(f"{name} {count:+,}" for name, count in since.documents.items())
        yield f"Documents: {more}."


def _reasons(rehearsal: Rehearsal) -> Iterator[Section]:
    failed = tuple(Badge(reason, Tone.BAD) for reason in rehearsal.reasons)
    if failed:
        yield Section("Why not", failed)


def _steps(rehearsal: Rehearsal) -> Section:
    def row(step: Step) -> tuple[Cell, ...]:
        tone = Tone.BAD if step.failed else Tone.PLAIN
        name: Cell = Badge(step.name.value, tone) if step.failed else step.name.value
        return name, f"{step.seconds:.1f}", int(step.exit_code), step.sentence

    table = table_of(
        "The steps, in order", ("step", "seconds", "exit", "what came of it"), rehearsal.steps, row
    )
    return Section("Steps", table)


def _to_decide(rehearsal: Rehearsal) -> Iterator[Section]:
    plan = rehearsal.plan
    said: list[str] = []
    if plan is not None and len(plan.quarantine):
        reasons: dict[str, int] = {}
        for (_, reason), count in plan.quarantine.counts().items():
            reasons[reason.value] = reasons.get(reason.value, 0) + count
        listed = ", ".join(f"{name} {count:,}" for name, count in sorted(reasons.items()))
        said.append(f"Quarantined, each with its cure (--verbose): {listed}.")
    if rehearsal.blocked_indexes:
        number = counted(rehearsal.blocked_indexes, "index", "indexes")
        said.append(f"{number} cannot be built before documents are put right (--verbose).")
    if said:
        yield Section("To decide before the night", tuple(said))
    odd = rehearsal.to_look_at
    if odd:
        more = [f"and {len(odd) - _FEW} more (--verbose)"] if len(odd) > _FEW else []
        warned = [check.sentence for check in odd[:_FEW]]
        yield Section("Doctor warns of, and no obstacle", (*warned, *more))
        every = tuple(f"{check.sentence} {check.remedy}".strip() for check in odd)
        yield Section("What doctor warns of, and what becomes of it", every, detail=True)


def _on_the_night(night: Sequence[str]) -> Iterator[Section]:
    if night:
        commands = Listing(partial(iter, night), len(night), whole=True)
        yield Section("On the night", (_WHERE, commands))


def _summary(rehearsal: Rehearsal) -> Iterator[str]:
    took = sum(step.seconds for step in rehearsal.steps)
    yield (
        f"{counted(len(rehearsal.steps), 'step')} in {took:,.1f} s, on {rehearsal.server}; "
        "production takes another time."
    )
    room = rehearsal.room
    if room is not None:
        yield (
            f"Room: documents {bytes_text(room.documents)}, records of the run "
            f"{bytes_text(room.records)}, uncompressed; backup {bytes_text(room.backup)}."
        )


def _case(step: Step) -> Case:
    return Case(
        "rehearsal",
        step.name.value,
        State.FAILED if step.failed else State.PASSED,
        "step" if step.failed else "",
        step.sentence if step.failed else "",
        seconds=step.seconds,
    )
