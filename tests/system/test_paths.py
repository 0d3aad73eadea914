from pathlib import Path

import pytest

import jaxvae
from jaxvae.errors import UserError
from jaxvae.runs.folder import Workdir
from jaxvae.system.paths import meant_path, users_folder


def test_a_tilde_is_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert meant_path("~/run", "--workdir") == tmp_path / "run"
    assert meant_path(Path("~"), "--workdir") == tmp_path
    assert meant_path("a/~b", "--workdir") == Path("a/~b")
    assert Workdir("~/run").config == tmp_path / "run" / "config.json"
    with pytest.raises(UserError, match=f"^{tmp_path}/run holds no run"):
        jaxvae.load_model("~/run")
    monkeypatch.setenv("JAXVAE_CACHE_DIR", "~/kept")
    assert users_folder() == tmp_path / "kept"
    monkeypatch.delenv("JAXVAE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/caches")
    assert users_folder() == tmp_path / "caches" / "jaxvae"


@pytest.mark.parametrize("given", ["", "  ", b"", "a\0b", None, 3, "~no-user-of-this-name/x"])
def test_what_is_no_path_is_refused_by_the_name_of_what_it_was_given_for(given):
    with pytest.raises(UserError, match=r"^--workdir .* cannot work: "):
        meant_path(given, "--workdir")
