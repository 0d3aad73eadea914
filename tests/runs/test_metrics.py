import json
import os
import resource
import subprocess
import sys

import pytest

from jaxvae.errors import RunError
from jaxvae.runs.metrics import MetricsFile
from jaxvae.system.atomic_files import write_json


def line(step, split="train", **more):
    return {"step": step, "split": split, **more}


def read(path):
    return [json.loads(text) for text in path.read_text().splitlines()]


def begin(path, step):
    metrics = MetricsFile(path, step)
    metrics.open()
    return metrics


def written(*lines):
    return "".join(json.dumps(one) + "\n" for one in lines).encode()


WHOLE = [line(10, seconds=1.5), line(20, seconds=3.0), line(20, "test"), line(30, seconds=4.0)]


@pytest.mark.parametrize("cut", [b'{"step": 40, "spl', b"\0" * 50, b"\0\0\n" + written(line(50)), b"\xff"])
def test_continuing_drops_what_later_steps_and_a_kill_left(tmp_path, cut):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(written(*WHOLE) + cut)
    metrics = begin(path, 20)
    assert read(path) == WHOLE[:3]
    assert metrics.seconds == 3.0
    metrics.append(line(30, seconds=9.0))
    metrics.close()
    assert read(path) == [*WHOLE[:3], line(30, seconds=9.0)]
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_of_the_same_step_and_split_is_replaced(tmp_path):
    metrics = begin(tmp_path / "metrics.jsonl", 0)
    for one in (line(9), line(10), line(10, "test", nll=2.0), line(10, "test", nll=1.0)):
        metrics.append(one)
    metrics.close()
    assert read(tmp_path / "metrics.jsonl") == [line(9), line(10), line(10, "test", nll=1.0)]
    # Also by a process that comes later, and then goes on.
    metrics = begin(tmp_path / "metrics.jsonl", 10)
    for one in (line(10, "test", nll=0.5), line(20), line(30)):
        metrics.append(one)
    metrics.close()
    assert read(tmp_path / "metrics.jsonl") == [
        line(9),
        line(10),
        line(10, "test", nll=0.5),
        line(20),
        line(30),
    ]


class Counted(dict):
    """A line that counts how often anybody looks at it."""

    looks = 0

    def __getitem__(self, name):
        Counted.looks += 1
        return super().__getitem__(name)


def test_a_line_costs_the_same_after_many_as_at_first(tmp_path):
    metrics, count = begin(tmp_path / "metrics.jsonl", 0), 5000
    for step in range(count):
        metrics.append(Counted(line(step)))
        metrics.append(Counted(line(step, "test")))
    metrics.close()
    assert Counted.looks <= 20 * count
    assert read(tmp_path / "metrics.jsonl")[-1] == line(count - 1, "test")


FULL = """
import resource, sys
from pathlib import Path
from jaxvae.runs.metrics import MetricsFile

metrics = MetricsFile(Path(sys.argv[1]), 0)
metrics.open()
metrics.append({"step": 1, "split": "train"})
resource.setrlimit(resource.RLIMIT_FSIZE, (45, resource.RLIM_INFINITY))
for step in (2, 3, 4):
    try:
        metrics.append({"step": step, "split": "train"})
    except OSError as error:
        print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
metrics.append({"step": 5, "split": "train"})
metrics.close()
"""


def test_what_could_not_be_written_is_written_later(tmp_path):
    path = tmp_path / "metrics.jsonl"
    said = subprocess.check_output([sys.executable, "-c", FULL, path], text=True)
    assert said == "File too large\n" * 3
    assert read(path) == [line(step) for step in (1, 2, 3, 4, 5)]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert os.listdir(tmp_path) == ["metrics.jsonl"]


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (b"my notes\n" + written(*WHOLE), 1),
        (written(*WHOLE[:2]) + b"[3]\n" + written(*WHOLE[2:]), 3),
        (written(*WHOLE) + b"a note of mine\n", 5),
        (written(*WHOLE[:3]) + b"\xff\xfe\n", 4),
        (written({"split": "train"}), 1),
        (written(line("10")), 1),
        (written({"step": 10, "split": None}), 1),
        (written(line(10, seconds="long")), 1),
        (written(WHOLE[1], WHOLE[0]), 2),
        (written(WHOLE[0], WHOLE[0]), 2),
        (b"\0\0\0\n" + written(*WHOLE), 1),
        (b"[" * 100_000 + b"\n", 1),
    ],
)
def test_a_line_of_something_else_is_named_and_nothing_is_changed(tmp_path, content, number):
    (tmp_path / "metrics.jsonl").write_bytes(content)
    with pytest.raises(RunError, match=rf"metrics\.jsonl, line {number}, is none that a run writes"):
        MetricsFile(tmp_path / "metrics.jsonl", 20)
    assert (tmp_path / "metrics.jsonl").read_bytes() == content


@pytest.mark.parametrize("ends", [b"", b"\n", b"\r\n\r\n"])
def test_how_an_editor_ends_lines_is_no_matter(tmp_path, ends):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(written(*WHOLE).replace(b"\n", b"\r\n").rstrip() + ends)
    metrics = begin(path, 30)
    metrics.append(line(40))
    metrics.close()
    assert [json.loads(text) for text in path.read_text().split("\n") if text] == [*WHOLE, line(40)]


def test_json_files_are_replaced_whole(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    write_json(tmp_path / "a.json", {"x": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 2}
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


def test_a_number_that_is_not_finite_is_null(tmp_path):
    content = {"loss": float("nan"), "rate": float("inf"), "inner": {"x": float("-inf")}, "steps": 3}
    write_json(tmp_path / "a.json", content)
    # What JSON does not know, Python would read back all the same.
    text = (tmp_path / "a.json").read_text()
    assert not any(word in text for word in ("NaN", "Infinity"))
    assert json.loads(text) == {"loss": None, "rate": None, "inner": {"x": None}, "steps": 3}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_cannot_be_written_whole_leaves_nothing(tmp_path, monkeypatch, error):
    write_json(tmp_path / "a.json", {"a": 1})

    def refuse(*_):
        raise error

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(error):
        write_json(tmp_path / "a.json", {"a": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
