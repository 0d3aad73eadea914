"""What benchmarks print, and the tables of the documentation, which are what they printed."""

import argparse
import json

import pytest

from benchmarks.tables import (
    RESULTS,
    ROOT,
    Column,
    emit,
    one_or_more,
    pages,
    parser,
    positive_integers,
    provenance,
    table,
    with_tables,
)

COLUMNS = (
    Column("model", lambda row: row["model"]),
    Column("examples/s", lambda row: f"{row['rate']:,.0f}"),
    Column("of", lambda row: row["of"]),
)
ORIGIN = {"date": "2026-01-02", "device": "chip", "versions": {"jax": "1.2", "jaxlib": "1.3"}}
ROWS = [
    {"model": "mlp", "rate": 12345.6, "of": "a", **ORIGIN},
    {"model": "convolutional", "rate": 7.0, "of": "2", **ORIGIN},
]
DRAWN = """\
2026-01-02, chip, jax 1.2

| model         | examples/s | of |
| ------------- | ---------: | -- |
| mlp           |     12,346 | a  |
| convolutional |          7 | 2  |"""


def test_a_table_names_its_origin_once_and_aligns_a_column_that_begins_with_a_number_to_the_right():
    assert table(ROWS, COLUMNS) == DRAWN
    elsewhere = [*ROWS, {**ROWS[0], "device": "another"}]
    assert table(elsewhere, COLUMNS).splitlines()[:2] == [
        "2026-01-02, chip, jax 1.2",
        "2026-01-02, another, jax 1.2",
    ]


def test_what_is_printed_is_the_table_or_every_row_whole(capsys):
    emit(ROWS, COLUMNS, as_json=False)
    assert capsys.readouterr().out == DRAWN + "\n"
    emit(ROWS, COLUMNS, as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS


def test_a_row_says_where_it_comes_from():
    origin = provenance("chip", "numpy")
    assert list(origin) == ["device", "date", "versions"]
    assert list(origin["versions"]) == ["python", "jax", "jaxlib", "numpy"]
    assert all(version[0].isdigit() for version in origin["versions"].values())


def test_the_tables_of_every_page_are_what_the_kept_results_give():
    texts = {page.relative_to(ROOT).as_posix(): page.read_text() for page in pages()}
    assert {"README.md", "docs/faults.md", "docs/speed.md"} <= texts.keys()
    assert "".join(texts.values()).count("<!-- table ") >= 8
    for text in texts.values():
        assert with_tables(text) == text
    # A table that was changed by hand is made anew.
    kept = json.loads((RESULTS / "faults-cpu-2-cores.jsonl").read_text().splitlines()[0])
    faults = texts["docs/faults.md"]
    stale = faults.replace(f"| {kept['fault']} ", "| something else ")
    assert stale != faults
    assert with_tables(stale) == faults


@pytest.mark.parametrize("text", ["", "0", "-3", "128,", "1.5", "128;512", "²"])
def test_a_list_of_numbers_above_0_is_read_and_anything_else_refused(text, capsys):
    assert positive_integers("128,512") == (128, 512)
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a list like 128,512 of numbers above 0"):
        positive_integers(text)
    made = parser("")
    made.add_argument("--batch-sizes", type=positive_integers)
    with pytest.raises(SystemExit) as ended:
        made.parse_args([f"--batch-sizes={text}"])
    assert ended.value.code == 2
    assert f"{text!r} is not a list" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["c", "a,c", "", "a,"])
def test_only_known_names_are_taken(text):
    assert one_or_more("a", "b")("b,a") == ("b", "a")
    with pytest.raises(argparse.ArgumentTypeError, match=r"'.?' is not one of a, b"):
        one_or_more("a", "b")(text)
