"""What a digest sees."""

import json
import shutil

import numpy as np
import pytest

from jaxvae.runs import checkpoint_manifest as manifest
from jaxvae.runs.checkpoint import Checkpoints
from jaxvae.runs.checkpoint_manifest import DamagedError, Manifest, digest_arrays, digest_files

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(7, np.int32)}


@pytest.mark.parametrize(
    "other",
    [
        {"a": ARRAYS["a"].reshape(3, 2), "b": ARRAYS["b"]},
        {"a": ARRAYS["a"].view(np.int32), "b": ARRAYS["b"]},
        {"a": ARRAYS["a"], "c": ARRAYS["b"]},
        {"a": ARRAYS["a"], "b": np.array(8, np.int32)},
        {"a": -ARRAYS["a"], "b": ARRAYS["b"]},
        {"a": ARRAYS["a"]},
    ],
    ids=["shape", "type", "name", "value", "sign", "number"],
)
def test_arrays_of_another_shape_type_name_or_value_have_another_digest(other):
    assert digest_arrays(other) != digest_arrays(ARRAYS)
    assert digest_arrays({"a": ARRAYS["a"].copy(order="F"), "b": ARRAYS["b"]}) == digest_arrays(ARRAYS)


def written(folder):
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "one").write_bytes(b"12345")
    (folder / "two").write_bytes(b"")
    files = digest_files(folder)
    whole = Manifest(5, digest_arrays(ARRAYS), manifest.describe_leaves(ARRAYS), files, {"data": "x"})
    (folder / manifest.NAME).write_bytes(manifest.render(whole))
    return whole


def test_what_was_written_is_verified(tmp_path):
    whole = written(tmp_path / "5")
    assert manifest.verify(tmp_path / "5", 5) == whole
    assert list(whole.files) == ["sub/one", "two"]
    assert whole.leaves == {"['a']": "float32[2,3]", "['b']": "int32[]"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("sub/one", b"12344", "sub/one has other contents than were written"),
        ("sub/one", b"1234", "sub/one has 4 bytes, not 5"),
        ("sub/one", None, "sub/one is missing"),
        ("two", b"x", "two has 1 bytes, not 0"),
        (manifest.NAME, None, "digest.json cannot be read"),
        (manifest.NAME, b"{}", "digest.json has other contents than were written"),
        (manifest.NAME, b"{}\n" + b"[" * 100_000, "digest.json has other contents than were written"),
    ],
)
def test_every_file_counts(tmp_path, name, content, said):
    written(tmp_path / "5")
    (tmp_path / "5" / name).unlink()
    if content is not None:
        (tmp_path / "5" / name).write_bytes(content)
    with pytest.raises(DamagedError, match=said):
        manifest.verify(tmp_path / "5", 5)


def test_a_manifest_that_someone_wrote_without_its_digest_is_none(tmp_path):
    whole = written(tmp_path / "5")
    head, body = manifest.render(whole).split(b"\n", 1)
    changed = {**json.loads(body), "step": 6}
    (tmp_path / "5" / manifest.NAME).write_bytes(head + b"\n" + json.dumps(changed, indent=1).encode())
    with pytest.raises(DamagedError, match=r"digest\.json has other contents"):
        manifest.verify(tmp_path / "5", 6)
    written(tmp_path / "6")
    with pytest.raises(DamagedError, match="it is the checkpoint of step 5"):
        manifest.verify(tmp_path / "6", 6)


def test_arrays_that_are_whole_but_not_those_of_the_state_are_damage(tmp_path):
    """As if a reader or a disk gave other numbers than it was given, in files that are as they were."""
    checkpoints = Checkpoints(tmp_path, 9)
    for step, state in ((1, ARRAYS), (2, {**ARRAYS, "b": np.array(8, np.int32)})):
        checkpoints.save(step, state, {})
    checkpoints.wait()
    checkpoints.close()
    assert checkpoints.read(ARRAYS).manifest.step == 2  # type: ignore[union-attr]
    second = manifest.verify(tmp_path / "2", 2)
    shutil.rmtree(tmp_path / "2" / "default")
    shutil.copytree(tmp_path / "1" / "default", tmp_path / "2" / "default")
    swapped = second._replace(files=digest_files(tmp_path / "2"))
    (tmp_path / "2" / manifest.NAME).write_bytes(manifest.render(swapped))
    read = checkpoints.read(ARRAYS)
    assert read is not None
    assert read.manifest.step == 1
    assert read.damaged == {2: "its arrays are not those that were written"}
