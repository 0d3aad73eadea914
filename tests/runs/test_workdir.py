"""Whose files are in a run's folder: what a run did not make, it neither takes nor touches."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from jaxvae.config import Config
from jaxvae.config.nested import to_dict
from jaxvae.data.load import Dataset, load
from jaxvae.errors import RunError, UserError
from jaxvae.profiling.profile import profile
from jaxvae.runs.fit import fit
from jaxvae.runs.folder import Workdir


def everything(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def make(folder, *names):
    for name in names:
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine")


@pytest.mark.parametrize(
    "names",
    [
        *(("thesis.tex",), ("a.partial",), ("metrics.jsonl",), ("checkpoints/",), ("images/photo.png",)),
        *(("summary.json", ".DS_Store"), ("lock",), ("lock/",), ("config.json.partial", "b", "c", "d", "e")),
    ],
)
def test_a_folder_of_something_else_is_refused_and_left_as_it_was(tmp_path, small_config, names):
    make(tmp_path, *names)
    before = everything(tmp_path)
    for work in (fit, profile):
        with pytest.raises(UserError, match=rf"{tmp_path} holds no run, but files of something else \("):
            work(small_config, tmp_path)
        assert everything(tmp_path) == before


def test_the_message_names_a_few_of_them(tmp_path):
    make(tmp_path, *"edcba", "\udcff")
    with pytest.raises(UserError, match=r"\(\\udcff, a, b and 3 more\): name a new folder, or an empty one"):
        Workdir(tmp_path).check(Config())


@pytest.mark.parametrize(
    "names",
    [(), ("config.json.partial",), ("profile/a/b.pb", "profile/x"), (".DS_Store", ".nfs1", "lost+found/")],
)
def test_what_a_kill_or_a_disk_left_is_in_nobodys_way(tmp_path, names):
    make(tmp_path, *names)
    (tmp_path / "lock").write_text('{"process": 1, "host": "gone"}\n' if names else "")
    folder = Workdir(tmp_path)
    assert folder.check(Config()) == {}
    lock = folder.claim()
    folder.prepare(Config())
    lock.release()
    left = everything(tmp_path)
    assert {name: left.get(name) for name in names if name[-1] != "/" and name != "config.json.partial"} == {
        name: b"mine" for name in names if name[-1] != "/" and name != "config.json.partial"
    }
    assert {"config.json", "images", "checkpoints"} <= left.keys()
    assert not {"lock", "config.json.partial"} & left.keys()


def test_of_what_is_half_written_only_what_a_run_writes_is_removed(tmp_path):
    folder = Workdir(tmp_path)
    folder.prepare(Config())
    ours = {
        *("config.json.partial", "summary.json.partial", "goodput.json.partial", "metrics.jsonl.partial"),
        *("images/samples-20.png.partial", "images/reconstructions-40.png.partial"),
    }
    others = {
        *("thesis.pdf.partial", "xconfig.json.partial", "images/holiday.png.partial", "notes.txt"),
        *("images/samples-x.png.partial", "samples-20.png.partial", "a.partial/b", "images/a.partial/b"),
    }
    make(tmp_path, *ours, *others)
    folder.prepare(Config())
    left = everything(tmp_path).keys()
    assert others <= left
    assert not ours & left


def test_a_kill_leaves_no_folder_that_is_refused(tmp_path, monkeypatch):
    """Whatever was made when the process died, the next one may go on."""
    folder, made = Workdir(tmp_path), []
    for count in range(3):
        with monkeypatch.context() as patch:
            die_after(patch, count, made)
            with pytest.raises(KeyboardInterrupt):
                folder.prepare(Config())
        folder.check(Config())
    assert len(made) == 0 + 1 + 2


def die_after(patch, count, made):
    """Of the calls that make something, the one with this number is the last."""
    left = [count]
    replace, mkdir = os.replace, Path.mkdir

    def counted(function):
        def call(*arguments, **more):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            made.append(arguments)
            return function(*arguments, **more)

        return call

    patch.setattr(os, "replace", counted(replace))
    patch.setattr(Path, "mkdir", counted(mkdir))


@pytest.mark.slow
def test_a_summary_that_is_not_one_is_replaced(tmp_path, small_config):
    train = dataclasses.replace(small_config.train, steps=4, log_every=4, eval_every=4)
    config = dataclasses.replace(small_config, train=train)
    images = load(config.data)
    few = Dataset(images.train[:64], images.test[:32])
    first = fit(config, tmp_path / "run", dataset=few)
    summary = tmp_path / "run" / "summary.json"
    assert fit(config, tmp_path / "run", dataset=few)["throughput"] == first["throughput"]
    for content in (
        b"",
        b"my notes",
        b"\xff",
        b"[]",
        b"3",
        b'{"throughput": {"examples_per_second": "fast"}}',
        b"[" * 100_000,
        b'{"throughput": {"examples_per_second": 1' + b"0" * 400 + b"}}",
    ):
        summary.write_bytes(content)
        again = fit(config, tmp_path / "run", dataset=few)
        assert again["test"] == first["test"]
        assert set(again["throughput"].values()) == {None}
        assert json.loads(summary.read_text())["test"] == first["test"]
    # A line that would stay is needed, and is not guessed at.
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write("a note of mine\n")
    before = everything(tmp_path)
    with pytest.raises(
        RunError, match=r"metrics\.jsonl, line 3, is none that a run writes .* 'a note of mine'"
    ):
        fit(config, tmp_path / "run", dataset=few)
    assert everything(tmp_path) == before


def test_where_no_folder_can_be_is_refused_by_what_is_in_the_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "afile")
    (tmp_path / "lost").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    before = everything(tmp_path)
    for name, says in (
        ("afile", "--workdir afile is a file: name a folder"),
        (
            "afile/a/run",
            f"afile/a/run cannot be written: {tmp_path}/afile is a file: name a folder",
        ),
        ("lost", "--workdir lost is a link to nothing"),
        ("loop/run", f"{tmp_path}/loop is a link to nothing"),
        ("x" * 300, "x/config.json cannot be read (File name too long)"),
    ):
        with pytest.raises(UserError) as raised:
            Workdir(name).check(Config())
        assert says in str(raised.value)
    assert everything(tmp_path) == before
    (tmp_path / "here").symlink_to(".")
    Workdir("here/new/run").check(Config())


def test_a_folder_that_is_gone_is_named(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UserError, match="--workdir run: the current folder is gone"):
        Workdir("run")


@pytest.mark.parametrize("text", ["{}", '{"seed": 3}'])
def test_an_empty_configuration_makes_no_run_of_a_folder(tmp_path, text):
    make(tmp_path, "thesis.tex")
    (tmp_path / "config.json").write_text(text)
    before = everything(tmp_path)
    with pytest.raises(UserError, match="it has none of the sections data, model, objective"):
        Workdir(tmp_path).check(Config())
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "summary.json", "goodput.json", "lock", "images", "checkpoints"]
)
def test_what_stands_where_a_run_writes_is_refused_before_it_begins(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps(to_dict(Config())))
    make(tmp_path, name if name in ("images", "checkpoints") else f"{name}/")
    with pytest.raises(UserError, match=rf"{name} is a f\w+, where a run has a f\w+: move it away"):
        Workdir(tmp_path).check(Config())
