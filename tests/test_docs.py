"""The documentation: the README stays short, and every file, page and program that it names is there."""

import re
from pathlib import Path

import pytest

from benchmarks.tables import ROOT, pages

PATH = re.compile(r"`((?:jaxvae|tests|benchmarks|configs|docs|notebooks)/[\w./-]*)`")
PROGRAM = re.compile(r"python -m (benchmarks\.\w+|jaxvae)\b")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def test_the_readme_is_short_and_leads_to_every_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200
    linked = {(ROOT / target).resolve() for target in LINK.findall(text)}
    assert set(pages()) - {ROOT / "README.md"} <= linked


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path):
    text = page.read_text()
    assert [name for name in PATH.findall(text) if not (ROOT / name).exists() and "NAME" not in name] == []
    assert [name for name in LINK.findall(text) if not (page.parent / name).exists()] == []
    for module in PROGRAM.findall(text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_every_folder_of_the_package_is_a_package_and_in_the_table_of_folders():
    # A folder without ``__init__.py`` is left out of what is installed.
    folders = {path.parent for path in (ROOT / "jaxvae").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
    how = (ROOT / "docs" / "how-it-works.md").read_text()
    missing = [folder.name for folder in folders if f"`{folder.relative_to(ROOT)}/`" not in how]
    assert set(missing) <= {"jaxvae", "sources", "kinds"}, missing
