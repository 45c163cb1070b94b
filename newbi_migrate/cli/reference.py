"""The page of documentation on the command line: ``python -m newbi_migrate.cli.reference > FILE``.

Everything on it is read from the commands themselves, from what they declare to Typer, and from
their manual.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, get_args, get_type_hints

from typer.models import ArgumentInfo, ParameterInfo

from newbi_migrate.cli.app import app
from newbi_migrate.cli.manual import ANY_COMMAND, ENVIRONMENT, MANUAL
from newbi_migrate.errors import ExitCode

__all__ = ["Parameter", "cli_page", "main", "parameters"]

_INTRODUCTION: Final = """\
# Command line

<!-- Written by `python -m newbi_migrate.cli.reference`; changes made here are lost. -->

```text
newbi-migrate COMMAND [OPTIONS]
```

Results go to standard output, messages and progress to standard error. No output holds an e-mail, a
name, a hash or a password: documents are named by collection and `_id`. Only [reports](reports.md)
show e-mails, masked unless they are asked for in full. With `--json` the answer, and an error too,
is [one JSON document](json.md).

At a terminal a command that writes says what it is going to do and asks for the database's name to
be typed. If what it showed has changed by then, it writes nothing. Without a terminal it needs
`--confirm`, and says so before it connects; it then does what the database gives, and compares
nothing with an earlier `--dry-run`. Only `migrate --plan` does exactly what was reviewed before.
How a run is watched, held back and stopped: [Operate a run](../how-to/operate-a-run.md).

The connection string must name the database. It is taken from `--uri-file`, else from the
environment variable `MONGODB_URI`, else from the same name in a file `.env` in the working
directory.
"""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option or an argument, as a reader needs it.

    Attributes:
        names: What is typed, such as ``--verbose``; the name alone for an argument.
        value: Placeholder of what stands after it; empty for a flag, and where it is a choice.
        choices: What can be chosen.
        meaning: Its sentence.
        default: What holds where it is not given; empty where that goes without saying.
        panel: The heading it stands under.
        argument: Whether it is an argument.
    """

    names: tuple[str, ...]
    value: str
    choices: tuple[str, ...]
    meaning: str
    default: str
    panel: str
    argument: bool


def parameters(command: Callable[..., Any]) -> Iterator[Parameter]:
    """What a command declares to Typer, in order."""
    hints = get_type_hints(command, include_extras=True)
    for name, declared in inspect.signature(command).parameters.items():
        annotation, info = get_args(hints[name])[:2]
        yield _parameter(name, annotation, info, declared.default)


def _parameter(name: str, annotation: Any, info: ParameterInfo, default: Any) -> Parameter:
    argument = isinstance(info, ArgumentInfo)
    flag = annotation is bool
    choices = next((kind for kind in (annotation, *get_args(annotation)) if _is_choice(kind)), ())
    return Parameter(
        names=(str(info.metavar or name.upper()),) if argument else _names(name, info),
        value="" if argument or flag or choices else str(info.metavar or ""),
        choices=tuple(str(choice.value) for choice in choices),
        meaning=(info.help or "") + _range(info),
        default=_default(info, default, flag=flag),
        panel=getattr(info, "rich_help_panel", None) or "",
        argument=argument,
    )


def _names(name: str, info: ParameterInfo) -> tuple[str, ...]:
    # Within Annotated the first name stands where a default would.
    given = [info.default, *(info.param_decls or ())]
    declared = [each for each in given if isinstance(each, str)]
    return tuple("/".join(declared).split("/")) if declared else (f"--{name.replace('_', '-')}",)


def _is_choice(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _range(info: ParameterInfo) -> str:
    if info.max is not None:
        return f" From {info.min} to {info.max}."
    return "" if info.min is None else f" At least {info.min}."


def _default(info: ParameterInfo, default: Any, *, flag: bool) -> str:
    if isinstance(info.show_default, str):
        return info.show_default
    if default is inspect.Parameter.empty or default is None or info.show_default is False:
        return ""
    if flag:
        # A flag that has no opposite is off unless it is given.
        return "on" if default else ""
    shown = default.value if isinstance(default, Enum) else default
    return f"`{shown:g}`" if isinstance(shown, float) else f"`{shown}`"


def cli_page() -> str:
    """The page, as Markdown."""
    return "\n".join(_lines()) + "\n"


def main() -> None:
    """Write the page to standard output, in UTF-8 whatever the terminal is."""
    sys.stdout.buffer.write(cli_page().encode())


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield "| command | what it does |"
    yield "|---|---|"
    commands = {str(info.name): info.callback for info in app.registered_commands}
    for name, command in commands.items():
        yield _row(f"[`{name}`](#{name})", _paragraphs(command)[0])
    yield "\n## Exit codes\n"
    yield "| code | meaning |"
    yield "|---|---|"
    for code in ExitCode:
        yield _row(str(int(code)), code.meaning)
    anybody = ", ".join(str(int(code)) for code in ANY_COMMAND)
    yield f"\nAny command may end with {anybody}; what else it may end with stands below it."
    yield "\n## Environment\n"
    yield "| variable | what it holds |"
    yield "|---|---|"
    for variable, holds in ENVIRONMENT.items():
        yield _row(f"`{variable}`", holds)
    for name, command in commands.items():
        yield from _command(name, command)


def _command(name: str, command: Callable[..., Any] | None) -> Iterator[str]:
    declared = list(parameters(command)) if command is not None else []
    arguments = [each for each in declared if each.argument]
    yield f"\n## {name}\n"
    yield "\n\n".join(_paragraphs(command))
    usage = " ".join(["newbi-migrate", name, "[OPTIONS]", *(a.names[0] for a in arguments)])
    yield f"\n```text\n{usage}\n```"
    panels = dict.fromkeys(each.panel for each in declared)
    for panel in sorted(panels, key=bool):
        yield f"\n| {panel.lower() or 'option'} | meaning | otherwise |"
        yield "|---|---|---|"
        for each in declared:
            if each.panel == panel:
                yield _row(_called(each), _meaning(each), each.default)
    yield "\n| code | when |"
    yield "|---|---|"
    for code, when in MANUAL[name].endings.items():
        yield _row(str(int(code)), when)
    yield "\n```console"
    for line, purpose in MANUAL[name].examples.items():
        yield f"# {purpose}"
        yield line
    yield "```"


def _called(parameter: Parameter) -> str:
    last = len(parameter.names) - 1
    return ", ".join(
        f"`{name} {parameter.value}`" if parameter.value and number == last else f"`{name}`"
        for number, name in enumerate(parameter.names)
    )


def _meaning(parameter: Parameter) -> str:
    # What is printed at the terminal has no marks of emphasis in it.
    meaning = parameter.meaning.replace("*", "\\*")
    if not parameter.choices:
        return meaning
    listed = " · ".join(f"`{choice}`" for choice in parameter.choices)
    return f"{meaning} One of {listed}."


def _paragraphs(command: Callable[..., Any] | None) -> list[str]:
    """What a command says of itself; a paragraph that was wrapped is one line again."""
    said = inspect.getdoc(command) or ""
    return [" ".join(part.split()) for part in said.split("\n\n")]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    main()
