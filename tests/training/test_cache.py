"""The cache never gives back anything but what was written, and never stands in the way."""

import os

import pytest

from jaxvae.training.compiled_programs import Cache, users_cache

CONTENT = bytes(range(256)) * 40
NAME, OTHER = "a" * 64, "b" * 64


def test_what_is_cut_short_or_changed_is_not_found_and_can_be_written_again(tmp_path):
    Cache(tmp_path / "cache").write(NAME, CONTENT)
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    cache = Cache(tmp_path / "cache")
    assert cache.read(NAME) == CONTENT
    assert cache.read(OTHER) is None
    damaged = [whole[:size] for size in range(0, len(whole), 7)]
    damaged += [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(0, len(whole), 5)]
    for content in damaged:
        path.write_bytes(content)
        assert cache.read(NAME) is None
    cache.write(NAME, CONTENT)
    assert cache.read(NAME) == CONTENT


def test_what_was_not_used_for_longest_goes_and_nothing_of_others(tmp_path):
    # Somebody's folder of documents, and what a process that was killed left.
    others = {"letter.txt", "notes.partial", "c" * 63, "C" * 64}
    for name in (*others, f"{'0' * 64}-abc.partial"):
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / ("1" * 63)).mkdir()
    cache = Cache(tmp_path, capacity=3)
    for age, letter in enumerate("dcba"):
        cache.write(letter * 64, letter.encode())
        os.utime(tmp_path / (letter * 64), (1000 - 100 * age, 1000 - 100 * age))
    assert cache.read("c" * 64) == b"c"
    cache.write("e" * 64, b"e")
    assert set(os.listdir(tmp_path)) == {"c" * 64, "d" * 64, "e" * 64, "1" * 63, *others}
    assert all((tmp_path / name).read_text() == "mine" for name in others)


def test_a_folder_that_cannot_be_written_or_read_costs_nothing_but_the_programs(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "in", tmp_path / ("x" * 300)):
        cache = Cache(folder)
        cache.write(NAME, CONTENT)
        assert cache.read(NAME) is None
    assert os.listdir(tmp_path) == ["file"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"HOME": "/home/me"}, "/home/me/.cache/jaxvae"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "/scratch/me"}, "/scratch/me/jaxvae"),
        ({"HOME": "/home/me", "JAXVAE_CACHE_DIR": "/fast"}, "/fast"),
        ({"HOME": "/home/me", "JAXVAE_CACHE_DIR": ""}, None),
    ],
)
def test_the_environment_says_where_programs_are_kept(monkeypatch, environment, folder):
    for name in ("HOME", "XDG_CACHE_HOME", "JAXVAE_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    cache = users_cache()
    assert (None if cache is None else str(cache.folder)) == folder
