"""Data sets of TFDS, read without TensorFlow; and what is said where preparing them needs it."""

import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxvae.config import Data
from jaxvae.data.load import load
from jaxvae.data.sources.tfds import Name, parse_name
from jaxvae.data.sources.tfrecord import find_records
from jaxvae.errors import UserError
from tests.data.prepared import prepare

RNG = np.random.default_rng(0)
GRAY = list(RNG.integers(0, 256, (20, 6, 5, 1), np.uint8))
RGB = list(RNG.integers(0, 256, (20, 6, 5, 3), np.uint8))
BOTH = {"train": GRAY[:14], "test": GRAY[14:]}


def same_set(images, expected):
    """Equal but for the order, in which TFDS shuffles."""
    return sorted(image.tobytes() for image in images) == sorted(image.tobytes() for image in expected)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("cifar10", ("cifar10", None, None)),
        ("cifar10:3.0.2", ("cifar10", None, "3.0.2")),
        ("cifar10_corrupted/brightness_1", ("cifar10_corrupted", "brightness_1", None)),
        ("a/b-c.d:1.2.3", ("a", "b-c.d", "1.2.3")),
    ],
)
def test_names_as_tfds_writes_them(text, parts):
    assert parse_name(text) == Name(*parts)
    assert str(Name(*parts)) == text


@pytest.mark.parametrize(
    "text", ["./a", "a/b/c", "a.npy", "A", "a:1", "~/a", "", "a/train.npy", "a/b.NPZ", "a/b-idx3-ubyte.gz"]
)
def test_what_is_no_such_name(text):
    assert parse_name(text) is None


def test_pictures_and_tensors_are_read(tmp_path):
    prepare(tmp_path, {"train": RGB[:14], "test": RGB[14:]})
    tensor = tfds.features.Tensor(shape=(6, 5, 1), dtype=np.uint8)
    prepare(tmp_path, BOTH, name="raw", feature=tensor)
    prepare(tmp_path, {k: [i[..., 0] for i in v] for k, v in BOTH.items()}, name="flat",
            feature=tfds.features.Tensor(shape=(6, 5), dtype=np.uint8))  # fmt: skip
    for name, images in (("tiny", RGB), ("tiny:1.0.0", RGB), ("raw", GRAY), ("flat", GRAY)):
        dataset = load(Data(name=name, dir=str(tmp_path)))
        assert same_set(dataset.train, images[:14])
        assert same_set(dataset.test, images[14:])
    assert "tensorflow" not in sys.modules


def test_the_newest_version_is_read_unless_another_is_named(tmp_path):
    for version, images in (("1.0.9", GRAY[:5]), ("1.0.10", GRAY[5:]), ("1.0.2", GRAY[:3])):
        prepare(tmp_path, {"train": images, "test": images}, version=version)
    sizes = {v: len(load(Data(name=f"tiny{v}", dir=str(tmp_path))).train) for v in ("", ":1.0.9", ":1.0.2")}
    assert sizes == {"": 15, ":1.0.9": 5, ":1.0.2": 3}


def test_configurations(tmp_path):
    prepare(tmp_path, BOTH, config="small")
    assert len(load(Data(name="tiny", dir=str(tmp_path))).train) == 14
    prepare(tmp_path, {"train": GRAY[:3], "test": GRAY[3:]}, config="big")
    assert len(load(Data(name="tiny/big", dir=str(tmp_path))).train) == 3
    assert len(load(Data(name="tiny/small:1.0.0", dir=str(tmp_path))).train) == 14
    with pytest.raises(UserError, match=r"several configurations are prepared .* tiny/big, tiny/small"):
        load(Data(name="tiny", dir=str(tmp_path)))


def test_other_splits(tmp_path):
    prepare(tmp_path, {"train": GRAY[:14], "validation": GRAY[14:]})
    assert same_set(load(Data(name="tiny", dir=str(tmp_path))).test, GRAY[14:])
    prepare(tmp_path, {"train": GRAY}, name="alone")
    dataset = load(Data(name="alone", dir=str(tmp_path)))
    assert (len(dataset.train), len(dataset.test)) == (18, 2)
    assert same_set([*dataset.train, *dataset.test], GRAY)


def test_mixed_sizes_are_named_and_unified_when_asked(tmp_path):
    prepare(tmp_path, {"train": [RGB[0], RGB[1][:5]], "test": RGB[2:4]})
    with pytest.raises(UserError, match=r"train image \d has 5 x \d pixels .*: --data.image_size N"):
        load(Data(name="tiny", dir=str(tmp_path)))
    dataset = load(Data(name="tiny", dir=str(tmp_path), image_size=4, color="gray"))
    assert dataset.train.shape == (2, 4, 4, 1)


def test_where_several_features_are_images(tmp_path):
    mask = tfds.features.Tensor(shape=(6, 5, 1), dtype=np.uint8)
    prepare(tmp_path, BOTH, feature=mask, mask=mask)
    assert same_set(load(Data(name="tiny", dir=str(tmp_path))).train, GRAY[:14])
    folder = prepare(
        tmp_path, BOTH, name="none", feature=tfds.features.Tensor(shape=(6, 5, 1), dtype=np.int64)
    )
    with pytest.raises(UserError, match="holds image, label: of these, none is 8-bit images"):
        load(Data(name="none", dir=str(tmp_path)))
    assert not folder.with_name("1.0.0.jaxvae").exists()


def test_what_is_read_and_skipped_is_said_and_a_test_set_leaves_nothing_to_split(tmp_path):
    prepare(tmp_path, {"train": GRAY[:10], "validation": GRAY[10:12], "test": GRAY[12:]})
    dataset = load(Data(name="tiny", dir=str(tmp_path)))
    assert dataset.remarks == "Read 18 PNG; its splits train and test; skipped validation/ (2 images)."
    own = load(Data(name="tiny", dir=str(tmp_path), validation="own"))
    assert same_set(own.validation, GRAY[10:12])
    assert same_set(own.train, GRAY[:10])
    assert same_set(own.test, GRAY[12:])
    assert own.remarks == "Read 20 PNG; its splits train, test and validation."
    with pytest.raises(UserError, match=r"--data\.test_fraction 0\.5 is of no use with tiny/1\.0\.0 in "):
        load(Data(name="tiny", dir=str(tmp_path), test_fraction=0.5))
    one = tfds.features.Image(shape=(None, None, 1))
    prepare(tmp_path, {"test": GRAY}, name="alone", feature=one)
    assert load(Data(name="alone", dir=str(tmp_path))).remarks == "Read 20 PNG; its split test."


def test_records_that_cannot_be_read_are_named_or_left_out(tmp_path):
    folder = as_tfrecord(prepare(tmp_path, BOTH))
    (path,) = folder.glob("*train*")
    content = bytearray(path.read_bytes())
    # The third image of the file is no PNG any more, and the fifth record is no example.
    images = [match.start() for match in re.finditer(b"\x89PNG", content)]
    content[images[2] : images[2] + 4] = b"NONE"
    records = find_records([path])
    content[records[4].offset : records[4].offset + records[4].length] = b"\xff" * records[4].length
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"train image 2 cannot be read as an image: .*--data.unreadable skip"
    ):
        load(Data(name="tiny", dir=str(tmp_path)))
    dataset = load(Data(name="tiny", dir=str(tmp_path), unreadable="skip"))
    assert len(dataset.train) == 12
    assert "left out 2 that cannot be read" in dataset.remarks
    assert "train image 2 cannot be read as an image" in dataset.remarks
    assert "train image 4 cannot be read: " in dataset.remarks


@pytest.mark.parametrize("content", ["", "{", "[]", '{"splits": 3}', '{"a":' * 100_000])
def test_a_damaged_description_is_named(tmp_path, content):
    (prepare(tmp_path, BOTH) / "dataset_info.json").write_text(content)
    with pytest.raises(UserError, match=r"tiny/1\.0\.0/dataset_info\.json cannot be read"):
        load(Data(name="tiny", dir=str(tmp_path)))


def as_tfrecord(folder: Path) -> Path:
    """Rewrites a prepared data set as TensorFlow would have prepared it."""
    builder: Any = tfds.builder_from_directory(folder)
    for split in builder.info.splits:
        raw = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        records: list[Any] = [raw[number] for number in range(len(raw))]
        old = Path(builder.info.splits[split].filepaths[0])
        new = old.with_name(old.name.replace("array_record", "tfrecord"))
        new.write_bytes(b"".join(struct.pack("<QI", len(r), 0) + r + bytes(4) for r in records))
        old.unlink()
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    return folder


def test_tfrecord_files_are_read_too(tmp_path):
    folder = prepare(tmp_path, BOTH)
    as_tfrecord(folder)
    dataset = load(Data(name="tiny", dir=str(tmp_path)))
    assert same_set(dataset.train, GRAY[:14])
    assert same_set(dataset.test, GRAY[14:])
    (cut,) = folder.glob("*train*")
    cut.write_bytes(cut.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"tiny-train\.tfrecord-00000-of-00001 is damaged or cut short"):
        load(Data(name="tiny", dir=str(tmp_path)))


def test_what_is_prepared_is_said_where_it_is_not_what_was_asked_for(tmp_path):
    folder = prepare(tmp_path, BOTH)
    for name in ("tiny:2.0.0", "tiny/other"):
        with pytest.raises(UserError, match=f"--data.name {name} is no .*: prepared is tiny/1.0.0"):
            load(Data(name=name, dir=str(tmp_path)))
    with pytest.raises(
        UserError, match=r"holds no images .*: it is prepared by TensorFlow Datasets, so give"
    ):
        load(Data(name=str(folder)))


def test_a_file_of_records_that_is_missing_is_named(tmp_path):
    folder = as_tfrecord(prepare(tmp_path, BOTH))
    next(folder.glob("*test*")).unlink()
    with pytest.raises(UserError, match=r"tiny-test\.tfrecord-00000-of-00001 cannot be read \(No such file"):
        load(Data(name="tiny", dir=str(tmp_path)))
    assert not Path(f"{folder}.jaxvae").exists()


@pytest.mark.parametrize("where", ["", "~nobodyofthatname/sets"])
def test_a_folder_of_sets_that_cannot_be_is_named(where, monkeypatch):
    with pytest.raises(UserError, match=f"--data.dir '?{where}'? cannot work"):
        load(Data(name="tiny", dir=where))
    monkeypatch.setenv("TFDS_DATA_DIR", "~nobodyofthatname/sets")
    with pytest.raises(UserError, match="TFDS_DATA_DIR ~nobodyofthatname/sets cannot work"):
        load(Data(name="tiny"))


def test_other_formats_are_refused_with_a_command(tmp_path):
    info = prepare(tmp_path, BOTH) / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"riegeli"'))
    with pytest.raises(UserError, match="is prepared as riegeli; array_record and tfrecord can be read"):
        load(Data(name="tiny", dir=str(tmp_path)))


def test_a_data_set_that_is_not_prepared_says_what_is_missing_and_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError) as raised:
        load(Data(name="cifar10:3.0.2", dir=str(tmp_path / "sets")))
    said = str(raised.value)
    assert said.startswith(
        f"cifar10:3.0.2 is not prepared in {tmp_path / 'sets'}, and preparing it needs Tens"
    )
    assert "  pip install tensorflow\n" in said
    program = re.search(r'  python -c "(.*)"\n', said)
    assert program
    # What the command would ask of TFDS.
    asks = (
        "import tensorflow_datasets; tensorflow_datasets.core.DatasetBuilder.download_and_prepare = "
        "lambda self: print(self.data_dir, self.info.file_format.value);"
    )
    done = subprocess.run(
        [sys.executable, "-c", asks + program[1]], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{tmp_path / 'sets'}/cifar10/3.0.2 array_record\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            "ConnectionError: HTTPConnectionPool(host='x'): Failed to resolve 'x'",
            "cannot be downloaded: there is ",
        ),
        ("ValueError: checksum mismatch", "could not prepare cifar10 (ValueError: checksum mismatch)"),
        ("", "could not prepare cifar10 (it said nothing)"),
    ],
)
def test_a_preparation_that_fails_says_why(tmp_path, monkeypatch, capfd, error, said):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    fails = f"import sys; sys.stderr.write({error!r}); sys.exit(1)"
    monkeypatch.setattr("jaxvae.data.sources.tfds._program", lambda name, root: fails)
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        load(Data(name="cifar10", dir=str(tmp_path)))
    assert f'python -c "{fails}"' in str(raised.value)
    assert error in capfd.readouterr().err


def test_without_tfds_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"cannot be imported .*: pip install tensorflow-datasets import"):
        load(Data(name="cifar10", dir=str(tmp_path)))


def test_a_prepared_set_needs_tfds_only_until_it_is_decoded(tmp_path, monkeypatch):
    prepare(tmp_path, BOTH)
    first = load(Data(name="tiny", dir=str(tmp_path)))
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    again = load(Data(name="tiny", dir=str(tmp_path)))
    np.testing.assert_array_equal(again.train, first.train)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert load(Data(name="tiny")).digest() == first.digest()


SEED = """
import pathlib, shutil, sys
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import resource
root, files = map(pathlib.Path, sys.argv[1:])
(root / "downloads").mkdir(parents=True)
for url, info in tfds.builder("mnist", data_dir=root).url_infos.items():
    path = root / "downloads" / resource.get_dl_fname(url, info.checksum)
    shutil.copy(files / url.split("/")[-1], path)
    resource.write_info_file(
        url=url, path=path, dataset_name="mnist", original_fname=url.split("/")[-1], url_info=info
    )
"""


@pytest.mark.slow
def test_tensorflow_prepares_mnist_from_downloads_that_are_there(tmp_path):
    pytest.importorskip("tensorflow", reason="needs the extra tf")
    import jaxvae.data.load

    mnist = Path(jaxvae.data.load.__file__).parent / "mnist"
    subprocess.run([sys.executable, "-c", SEED, str(tmp_path / "sets"), str(mnist)], check=True)
    root = Path(__file__).parents[2]
    flags = f"--data.name mnist:3.0.1 --data.dir {tmp_path / 'sets'} --train.steps 300 --train.devices 1"
    flags += " --eval.importance_samples 4"
    done = subprocess.run(
        [sys.executable, root / "train.py", "--config", "mnist", *flags.split()],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "runs" / "mnist" / "summary.json").read_text())
    assert summary["test"]["elbo"] > -160
    found = load(Data(name="mnist:3.0.1", dir=str(tmp_path / "sets")))
    bundled = load(Data())
    assert same_set(found.train, bundled.train)
    assert same_set(found.test, bundled.test)
