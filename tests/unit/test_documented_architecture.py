"""The page of the architecture against the code: its map, its floors, and the names on it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "newbi_migrate"
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
MAP = PAGE.split("```")[1]
TESTS = [*(ROOT / "tests").rglob("test_*.py")]


def parts_of(folder: Path) -> set[str]:
    """Modules and packages of a folder, as the map writes them."""
    found = {path.name for path in folder.glob("*.py")} - {"__init__.py", "__main__.py"}
    return found | {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}


def layers_of(contract: str) -> list[set[str]]:
    (found,) = [c for c in CONTRACTS["contracts"] if c["name"] == contract]
    return [
        {name.strip().removeprefix("newbi_migrate.") for name in layer.split("|")}
        for layer in found["layers"]
    ]


def floors_after(words: str) -> list[set[str]]:
    """What the page says after some words, to the end of the sentence or paragraph."""
    told = " ".join(PAGE.split(words)[1].strip().split("\n\n")[0].split())
    return [set(floor.strip(" .").split(", ")) for floor in told.split("·")]


def test_the_map_names_every_package_and_every_module_beside_them():
    """Whoever looks for a module finds what it is for, and finds none that is gone."""
    named = set(re.findall(r"^  (\w+(?:\.py|/))(?= )", MAP, re.MULTILINE))

    assert parts_of(PACKAGE) == named


def test_the_map_names_every_folder_of_use_cases():
    """They are what somebody new to the code looks for first."""
    named = set(re.findall(r"^    (\w+/)(?= )", MAP, re.MULTILINE))

    assert {name for name in parts_of(PACKAGE / "migration") if name.endswith("/")} == named


@pytest.mark.parametrize("package", ["mapping", "migration/run", "migration/planning"])
def test_the_map_names_every_module_of_the_engine(package):
    """Those of the packages that decide and of what all runs share."""
    lines = re.split(r"^ +(?=\w+(?:\.py|/) )", MAP, flags=re.MULTILINE)
    (told,) = [line for line in lines if line.startswith(f"{Path(package).name}/ ")]

    modules = {path.stem for path in (PACKAGE / package).glob("*.py")} - {"__init__"}
    assert set() == modules - set(re.findall(r"\w+", told))


def test_the_page_tells_the_floors_that_the_contracts_hold():
    """In the same order, top to bottom."""
    assert layers_of("A floor imports only floors below it") == floors_after(
        "comma packages on one floor:"
    )
    assert layers_of("So does a use-case") == floors_after("Inside migration:")


def test_the_driver_is_kept_from_every_package_but_those_that_the_page_names():
    """A package at the top that no contract names could import it unseen."""
    (kept,) = [c for c in CONTRACTS["contracts"] if c["name"].startswith("The driver")]
    named = {name.removeprefix("newbi_migrate.") for name in kept["source_modules"]}
    every = {name.removesuffix("/").removesuffix(".py") for name in parts_of(PACKAGE)}

    assert {"store", "demo", "testing"} == every - named


def test_a_file_that_the_page_names_is_there():
    """By its path, or by its name where the page has named the folder."""
    there = [f"/{path.relative_to(ROOT).as_posix()}" for path in (*PACKAGE.rglob("*.py"), *TESTS)]
    named = set(re.findall(r"`([\w/]+\.py)`", PAGE))

    assert set() == {name for name in named if not any(p.endswith(f"/{name}") for p in there)}


def test_a_module_that_a_drawing_names_is_there():
    """Next to what it does."""
    named = set(re.findall(r", ([a-z]+/[a-z_]+)", PAGE))

    assert set() == {name for name in named if not [*PACKAGE.rglob(f"{name}.py")]}


def test_a_name_that_the_page_leads_to_is_in_the_code():
    """A function, a class, an option: renamed there, it is renamed here."""
    told = re.findall(r"`([A-Za-z_][\w.]+)(?<!\.py)(?<!\.toml)`", PAGE)
    named = {part for name in told for part in name.split(".")}
    words = {
        word
        for path in PACKAGE.rglob("*.py")
        for word in re.findall(r"\w+", path.read_text("utf-8"))
    }

    assert set() == named - words
