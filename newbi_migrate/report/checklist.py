"""The checklist as a document, in English or in French."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from newbi_migrate.answers import answer
from newbi_migrate.choices import Language
from newbi_migrate.migration.checklist import Checklist, Line, LineId, LineState, Part
from newbi_migrate.report.document import (
    Badge,
    Case,
    Document,
    Listing,
    Row,
    Section,
    State,
    Table,
    Tone,
)

__all__ = ["COMMANDS", "ShortForm", "checklist_document", "short_form"]


_HALF_RESTORED: Final = (
    "The database is half restored: a restore has not come to its end.",
    "La base est à moitié restaurée : une restauration n'est pas terminée.",
)
_SMOKE: Final = ("smoke", "--url", "URL", "--email", "EMAIL")

COMMANDS: Final[Mapping[LineId, tuple[str, ...]]] = {
    LineId.STOPPED: ("doctor",),
    LineId.BACKUP: ("backup",),
    LineId.PLANNED: ("plan",),
    LineId.MIGRATED: ("migrate",),
    LineId.VALIDATED: ("validate",),
    LineId.TESTED: _SMOKE,
    LineId.SIGN_IN: _SMOKE,
    LineId.LEGACY: ("finalize", "--keep", "--dry-run"),
}
"""The command that begins what an open line asks for, where it is always the same one."""

_LINES: Final[Mapping[LineId, tuple[str, str]]] = {
    LineId.TOOLS: ("The tools are installed", "Outils installés"),
    LineId.VARIABLES: ("The connection string is in place", "Variables d'environnement en place"),
    LineId.STOPPED: ("The application is stopped", "Application arrêtée"),
    LineId.BACKUP: ("A backup was made just before", "Sauvegarde faite juste avant"),
    LineId.REHEARSED: ("The night was rehearsed", "Migration répétée sur une copie"),
    LineId.PLANNED: ("The plan was reviewed", "Plan relu"),
    LineId.MIGRATED: ("The migration is done", "Migration terminée"),
    LineId.VALIDATED: ("The validation passed", "Validation réussie"),
    LineId.TESTED: ("The application was tested", "Application testée"),
    LineId.MONITORING: ("Monitoring is in place", "Surveillance en place"),
    LineId.RESTARTED: ("The application runs again", "Application redémarrée"),
    LineId.SIGN_IN: ("Users can sign in", "Les utilisateurs se connectent"),
    LineId.NEW_DOCUMENTS: (
        "New documents have a workspace",
        "Les nouveaux documents ont un workspaceId",
    ),
    LineId.LEGACY: (
        "The old collection is set aside (optional)",
        "Ancienne collection mise de côté (facultatif)",
    ),
    LineId.BACKUPS: (
        "Regular backups hold the new collections",
        "Nouvelles collections dans les sauvegardes",
    ),
}

_EVIDENCE: Final[Mapping[str, tuple[str, str]]] = {
    "": ("", ""),
    "server": ("{server}", "{server}"),
    "connected": ("connected", "connexion réussie"),
    "not-told": ("nothing here can tell", "l'outil ne peut pas le savoir"),
    "migrated-since": ("the migration has begun", "la migration a commencé"),
    "nobody-writes": ("nobody wrote while it looked", "personne n'a écrit pendant le contrôle"),
    "somebody-writes": ("{what}", "quelqu'un écrit dans la base : newbi-migrate doctor dit où"),
    "perhaps-somebody-writes": (
        "{what}",
        "d'autres clients peuvent écrire : newbi-migrate doctor dit lesquels",
    ),
    "of-now": ("as the database is now", "conforme à la base"),
    "not-of-now": (
        "{what}",
        "abîmée, ancienne ou différente de la base : newbi-migrate doctor --backup le précise",
    ),
    "no-backup-named": (
        "none named (--backup DIR)",
        "aucune n'est indiquée (--backup DIR)",
    ),
    "no-rehearsal-named": (
        "none named (--rehearsed FILE)",
        "aucune n'est indiquée (--rehearsed FILE)",
    ),
    "without-backup": ("the run was backed by none", "migration faite sans --backup"),
    "backed": ("{name}", "{name}"),
    "as-rehearsed": (
        "every decision is as rehearsed",
        "chaque décision est celle de la répétition",
    ),
    "of-another": (
        "of another database: none of its users is here",
        "d'une autre base : aucun de ses utilisateurs n'est ici",
    ),
    "others": ("decisions that differ: {count}", "décisions différentes : {count}"),
    "unfinished": ("a run was interrupted", "une migration a été interrompue"),
    "unfinished-rollback": (
        "its rollback was interrupted",
        "son annulation a été interrompue",
    ),
    "run": ("run {run}", "exécution {run}"),
    "not-looked": ("newbi-migrate checklist looks", "voir newbi-migrate checklist"),
    "critical": (
        "critical and caused by the migration: {count}",
        "anomalies critiques causées par la migration : {count}",
    ),
    "pending": (
        "critical and caused by the migration: {count}, not migrated yet: {pending}",
        "anomalies critiques causées par la migration : {count}, pas encore migrés : {pending}",
    ),
    "sessions": ("sessions since: {count}", "sessions ouvertes depuis : {count}"),
    "no-sessions": ("nobody has signed in since", "personne ne s'est connecté depuis"),
    "new": ("documents since: {count}", "documents arrivés depuis : {count}"),
    "none-new": ("no document has come since", "aucun document n'est arrivé depuis"),
    "new-recorded": (
        "documents since: {count}, of which quarantined: {without}",
        "documents arrivés depuis : {count}, dont en quarantaine : {without}",
    ),
    "new-without": (
        "{without} of {count} that came since have none",
        "documents arrivés depuis : {count}, dont sans workspaceId : {without}",
    ),
}

_STATES: Final[Mapping[LineState, tuple[str, str, Tone]]] = {
    LineState.DONE: ("[x]", "[x]", Tone.GOOD),
    LineState.OPEN: ("[ ]", "[ ]", Tone.ODD),
    LineState.FAILED: ("[!] failed", "[!] échec", Tone.BAD),
    LineState.ASKED: ("[?] to check", "[?] à vérifier", Tone.PLAIN),
}

_PARTS: Final[Mapping[Part, tuple[str, str]]] = {
    Part.BEFORE: ("Before the migration", "Avant la migration"),
    Part.MIGRATION: ("Migration", "Migration"),
    Part.AFTER: ("After the migration", "Après la migration"),
}

_CASES: Final = {
    LineState.DONE: State.PASSED,
    LineState.FAILED: State.FAILED,
    LineState.OPEN: State.SKIPPED,
    LineState.ASKED: State.SKIPPED,
}


@dataclass(frozen=True, slots=True)
class ShortForm:
    """The checklist in one sentence.

    Attributes:
        ticked: How many lines are done.
        lines: How many there are.
        next: The first that is open or failed.
    """

    ticked: int
    lines: int
    next: LineId | None

    def __str__(self) -> str:
        first = "" if self.next is None else f"; next: {_LINES[self.next][0]!r}"
        return f"Checklist: {self.ticked} of {self.lines} ticked{first}."


def short_form(
    checklist: Checklist, seen: Mapping[LineId, LineState] | None = None
) -> ShortForm | None:
    """The short form of a checklist; none where it has no lines.

    Args:
        checklist: The checklist, read briefly or not.
        seen: What the command itself has seen beside.
    """
    lines = [replace(line, state=(seen or {}).get(line.id, line.state)) for line in checklist.lines]
    if not lines:
        return None
    ticked = sum(line.state is LineState.DONE for line in lines)
    return ShortForm(ticked, len(lines), next((line.id for line in lines if line.waits), None))


def checklist_document(
    checklist: Checklist, *, command: Callable[[LineId], str], language: Language
) -> Document:
    """The document of a checklist.

    Args:
        checklist: The checklist.
        command: Gives the command that an open line asks for; empty where a person does it.
        language: English or French.
    """
    position = list(Language).index(language)
    commands = (
        command(line.id) for line in checklist.lines if _asks_for_a_command(checklist, line)
    )
    following = next(filter(None, commands), "")
    waiting = next((line.id for line in checklist.lines if line.waits), None)
    if waiting is LineId.MIGRATED and following == command(LineId.PLANNED):
        # Whether a person has read the plan is theirs to say.
        following = f"{following} and, once it is reviewed, {command(waiting)}"
    return Document(
        command="checklist",
        database=checklist.database,
        title=("Checklist of the database {}", "Liste de contrôle de la base {}")[position].format(
            checklist.database
        ),
        exit_code=checklist.exit_code,
        next_command=following,
        sections=(
            *_half_restored(checklist, position),
            *(
                _part(checklist, part, names[position], position, command)
                for part, names in _PARTS.items()
            ),
        ),
        cases=tuple(
            Case(line.id.part.value, _LINES[line.id][position], _CASES[line.state], line.state)
            for line in checklist.lines
        ),
        value=lambda: answer(checklist),
        lines=lambda: map(answer, checklist.lines),
    )


def _half_restored(checklist: Checklist, position: int) -> tuple[Section, ...]:
    if not checklist.status.restoring:
        return ()
    return (Section("", (Badge(_HALF_RESTORED[position], Tone.BAD),)),)


def _asks_for_a_command(checklist: Checklist, line: Line) -> bool:
    pending = any(one.id is LineId.MIGRATED and one.unsettled for one in checklist.lines)
    if pending and line.part is not Part.BEFORE and line.id is not LineId.MIGRATED:
        # There is nothing yet to validate, to try, to stamp late or to end.
        return False
    # As long as no document has come, none lacks a workspace. Before a migration a plan is made
    # whether or not a person has read one.
    return line.evidence == "not-told" or (line.unsettled and line.evidence != "none-new")


def _part(
    checklist: Checklist, part: Part, name: str, position: int, command: Callable[[LineId], str]
) -> Section:
    """A part of the checklist: its lines, and the command of each that is open."""
    lines = [line for line in checklist.lines if line.id.part is part]
    rows: tuple[Row, ...] = tuple(_row(line, position) for line in lines)
    if not any(row[2] for row in rows):
        rows = tuple(row[:2] for row in rows)
    colon = (":", " :")[position]
    commands = tuple(
        f"{_LINES[line.id][position]}{colon} {command(line.id)}"
        for line in lines
        if _asks_for_a_command(checklist, line) and command(line.id)
    )
    listing = Listing(lambda: commands, len(commands), whole=True)
    return Section(name, (Table(name, (), rows), listing))


def _row(line: Line, position: int) -> tuple[Badge, str, str]:
    words = _STATES[line.state]
    mark = Badge((words[0], words[1])[position], words[2])
    thousands = (",", " ")[position]
    values = {
        name: f"{value:,}".replace(",", thousands) if isinstance(value, int) else value
        for name, value in line.values.items()
    }
    return mark, _LINES[line.id][position], _EVIDENCE[line.evidence][position].format(**values)
