"""The cache never gives back anything but what was written, and never stands in the way."""

import os

import pytest

from jaxvae.cache import Cache, users_cache

CONTENT = bytes(range(256)) * 40


def test_what_is_cut_short_or_changed_is_not_found_and_can_be_written_again(tmp_path):
    Cache(tmp_path / "cache").write("name", CONTENT)
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    cache = Cache(tmp_path / "cache")
    assert cache.read("name") == CONTENT
    assert cache.read("other") is None
    damaged = [whole[:size] for size in range(0, len(whole), 7)]
    damaged += [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(0, len(whole), 5)]
    for content in damaged:
        path.write_bytes(content)
        assert cache.read("name") is None
    cache.write("name", CONTENT)
    assert cache.read("name") == CONTENT


def test_what_was_not_used_for_longest_goes(tmp_path):
    cache = Cache(tmp_path, kept=3)
    for age, name in enumerate("dcba"):
        cache.write(name, name.encode())
        os.utime(tmp_path / name, (1000 - 100 * age, 1000 - 100 * age))
    assert cache.read("c") == b"c"
    cache.write("e", b"e")
    assert sorted(os.listdir(tmp_path)) == ["c", "d", "e"]


def test_a_folder_that_cannot_be_written_or_read_costs_nothing_but_the_programs(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "in", tmp_path / ("x" * 300)):
        cache = Cache(folder)
        cache.write("name", CONTENT)
        assert cache.read("name") is None
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
