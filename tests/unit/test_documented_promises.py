"""What pages say of versions, formats, sessions and hooks is what the project declares."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from pictures import LARGEST_PICTURE, PICTURE

from newbi_migrate.backup.manifest import FORMAT
from newbi_migrate.migration.planning.plan_file import PLAN_FORMAT
from newbi_migrate.report import document
from newbi_migrate.store.connection import OLDEST_SERVER

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
NOXFILE = ast.parse((ROOT / "noxfile.py").read_text("utf-8"))


def page(name):
    return (ROOT / name).read_text("utf-8")


def sessions():
    """Name of each session of nox to its function."""
    return {
        node.name: node
        for node in NOXFILE.body
        if isinstance(node, ast.FunctionDef)
        and any("nox.session" in ast.unparse(each) for each in node.decorator_list)
    }


def commands_of(session):
    """The command lines of a session that are written out whole."""
    for node in ast.walk(sessions()[session]):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "session.run":
            yield " ".join(each.value for each in node.args if isinstance(each, ast.Constant))


def test_pages_name_the_versions_that_are_supported():
    """Those of the classifiers, of the dependencies and of the check on connecting."""
    pythons = [
        line.rpartition(" ")[2]
        for line in PROJECT["classifiers"]
        if re.search(r"Python :: 3\.\d+$", line)
    ]
    (pymongo,) = (line for line in PROJECT["dependencies"] if line.startswith("pymongo"))
    oldest = ".".join(map(str, OLDEST_SERVER))
    for name in ("docs/install.md", "docs/stability.md"):
        text = page(name)

        assert f"| Python | {', '.join(pythons)} |" in text, name
        assert f"| MongoDB | {oldest} and later" in text, name
        assert f"{re.search(r'[0-9.]+', pymongo).group()} and later" in text, name


def test_installing_without_extras_brings_no_server():
    """Production needs none; each extra that a page names is there, and no other is."""
    listed = re.findall(r"^\| `(\w+)` \|", page("docs/install.md"), re.MULTILINE)
    extras = set(PROJECT["optional-dependencies"]) - {"docs", "examples"}

    assert not [line for line in PROJECT["dependencies"] if "fiftyone" in line]
    assert extras == set(listed)


def test_the_readme_installs_as_the_installation_page_does():
    """So that `nox -s install` runs the lines of both."""
    lines = {
        name: re.search(r"^```sh\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL).group(1)
        for name in ("README.md", "docs/install.md")
    }

    assert lines["README.md"].startswith(lines["docs/install.md"])
    assert lines["README.md"].splitlines()[-1] in page("docs/install.md").splitlines()


def test_the_stability_policy_names_the_formats_that_are_written():
    """With the number that each of them has now."""
    text = page("docs/stability.md")

    assert f"`{FORMAT}`" in text
    assert f"`{PLAN_FORMAT}`" in text
    assert f"`format` {document.FORMAT} " in text


def test_a_commit_is_checked_by_the_commands_of_the_sessions():
    """What passes before a commit passes `nox -s lint types`."""
    hooks = re.findall(r"^ +entry: (.+)$", page(".pre-commit-config.yaml"), re.MULTILINE)

    assert hooks == [*commands_of("lint"), *commands_of("types")]
    assert {"local"} == set(re.findall(r"- repo: (\S+)", page(".pre-commit-config.yaml")))


def test_a_session_that_a_page_names_is_there():
    """Wherever `nox -s` stands, whatever follows it is a session."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / ".ci" / "run"]
    named = {
        name
        for path in pages
        for names in re.findall(r"nox -s ((?:[a-z_]+ ?)+)", path.read_text("utf-8"))
        for name in names.split()
    }

    assert set() == named - set(sessions())


def test_a_test_or_benchmark_that_a_page_names_is_there():
    """With a test of each name that the page selects by `-k`."""
    named = {
        (path.name, file, quoted or word)
        for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
        for file, quoted, word in re.findall(
            r'((?:tests|benchmarks|examples)/[\w/]+\.(?:py|sh))(?: -k (?:"([^"]+)"|(\w+)))?',
            path.read_text("utf-8"),
        )
    }
    assert 50 < len(named)
    for name, file, words in named:
        assert (ROOT / file).is_file(), (name, file)
        for word in words.split(" or ") if words else ():
            assert re.search(rf"def test_\w*{word}", page(file)), (name, file, word)


def test_the_profiles_that_are_named_are_registered():
    """With as many examples as the page says."""
    profiles = dict(
        re.findall(r'register_profile\("(\w+)", max_examples=([\d_]+)', page("tests/conftest.py"))
    )
    text = page("CONTRIBUTING.md")

    for name, number in profiles.items():
        assert f"`{name}` ({int(number):,})" in text.replace("HYPOTHESIS_PROFILE=", "")


def test_the_picture_of_a_report_is_a_small_png():
    """It is in the repository and on two pages."""
    assert b"\x89PNG" == PICTURE.read_bytes()[:4]
    assert PICTURE.stat().st_size < LARGEST_PICTURE


def test_both_glossaries_have_the_same_words():
    """Whoever reads French finds each English word there."""

    def words(text):
        return re.findall(r"^\| ([a-z ,]+) \| .+ \|$", text, re.MULTILINE)[1:]

    french = page("docs/fr/guide-de-migration.md").partition("\n## Glossaire\n")[2]

    assert words(page("docs/glossary.md")) == words(french)
