"""How is a data set of TensorFlow Datasets read? From its prepared files, without TensorFlow.

Preparing them, once, needs TensorFlow and, unless the downloads are there already, the network; a process
of its own does that.
"""

import difflib
import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.config import Data
from jaxvae.data.dataset import Picture, Pictures, Source, UnreadableError
from jaxvae.data.sources.decoding import decode
from jaxvae.data.sources.folders import ARRAYS
from jaxvae.data.sources.resizing import adjust
from jaxvae.data.sources.splits import choose
from jaxvae.data.sources.tfrecord import find_records
from jaxvae.errors import UserError, printable
from jaxvae.system.paths import meant_path

READABLE = ("array_record", "tfrecord")
"""Formats of prepared files that are read without TensorFlow; the first is what is asked for."""


class Name(NamedTuple):
    """``NAME``, ``NAME/CONFIG``, ``NAME:VERSION`` or ``NAME/CONFIG:VERSION``, as TFDS writes it."""

    name: str
    config: str | None
    version: str | None

    def __str__(self) -> str:
        config = f"/{self.config}" if self.config else ""
        return f"{self.name}{config}" + (f":{self.version}" if self.version else "")


def parse_name(text: str) -> Name | None:
    """The parts of a name, or None if it cannot be one, but rather is that of a file."""
    if text.lower().endswith((*ARRAYS, "ubyte")):
        return None
    match = re.fullmatch(r"([a-z][a-z0-9_]*)(?:/([\w.+-]+))?(?::(\d+\.\d+\.\d+))?", text)
    return None if match is None else Name(*match.groups())


def tfds_images(name: Name, data: Data) -> Source:
    """The images of a data set of TFDS, prepared now if it was not before.

    Raises UserError if there is none of that name, or if it cannot be prepared here, with what is missing
    and the command that prepares it.
    """
    root = _root(data)
    folder = find_prepared(root, name)
    if folder is None:
        _prepare(name, root)
        folder = find_prepared(root, name)
        if folder is None:
            raise UserError(f"TensorFlow Datasets prepared {name}, but not in {root}: is --data.dir right?")
    form, sizes = _format_and_splits(folder)
    if form not in READABLE:
        raise UserError(
            f"{folder} is prepared as {form}; {' and '.join(READABLE)} can be read. Into another folder:\n"
            f"  {_command(name, root / READABLE[0])}\nand then --data.dir {root / READABLE[0]}"
        )
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    splits, remarks = choose_splits(sizes, folder, data)
    options = {"dir", "background", "sixteen_bit", "unreadable"} | (
        {"test_fraction"} if len(splits) == 1 else set()
    )
    title = printable(f"{folder.relative_to(root)} in {root}")
    return Source(
        title,
        folder,
        files,
        lambda: _open(folder, splits, data),
        frozenset(options),
        remarks,
        has_validation=len(splits) == 3,
    )


def _root(data: Data) -> Path:
    """Where prepared data sets are."""
    if data.dir is not None:
        return meant_path(data.dir, "--data.dir")
    return meant_path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets", "TFDS_DATA_DIR")


def _format_and_splits(folder: Path) -> tuple[str, dict[str, int]]:
    """How the files are written, and how many examples are in each split, found without TFDS."""
    path = folder / "dataset_info.json"
    try:
        info = json.loads(path.read_text())
        splits = {split["name"]: sum(map(int, split.get("shardLengths", ()))) for split in info["splits"]}
        return info.get("fileFormat", "tfrecord"), splits
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or repr(error)
        raise UserError(f"{printable(path)} cannot be read: {reason}") from error


def choose_splits(sizes: dict[str, int], folder: Path, data: Data) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The split that trains, the one that tests if there is one, and the one that validates if
    ``data.validation`` is own and there is one; and what to say of the others.

    Raises UserError if none holds images.
    """
    roles = choose((name for name, size in sizes.items() if size), f"{folder}")
    train = roles.train or next((name for name, size in sizes.items() if size), None)
    if train is None:
        raise UserError(f"{folder} holds no images: its splits are {sizes}")
    test = roles.test if roles.test != train else None
    validation = roles.validation(data, f"{folder}") if roles.train == train else None
    splits = tuple(name for name in (train, test, validation) if name is not None)
    others = [f"{name}/ ({size:,} images)" for name, size in sizes.items() if name not in splits]
    listed = " and ".join(filter(None, (", ".join(splits[:-1]), splits[-1])))
    remarks = (f"its split{'s' * (len(splits) > 1)} {listed}",)
    return splits, remarks + (f"skipped {', '.join(others)}",) * bool(others)


def find_prepared(root: Path, name: Name) -> Path | None:
    """The folder of the newest prepared version, found without TFDS, which takes a second to import.

    Raises UserError if several configurations are prepared and none is named.
    """
    top = root / name.name / (name.config or "")
    found = [path.parent for pattern in ("*", "*/*") for path in top.glob(f"{pattern}/dataset_info.json")]
    versions = {path: re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", path.name) for path in found}
    if name.version is not None:
        versions = {path: match for path, match in versions.items() if path.name == name.version}
    dated = {path: tuple(map(int, match.groups())) for path, match in versions.items() if match}
    configs = sorted({path.parent.name for path in dated if path.parent != root / name.name})
    if name.config is None and len(configs) > 1:
        raise UserError(
            f"--data.name {name}: several configurations are prepared in {root}: name one, as in "
            f"{', '.join(f'{name.name}/{config}' for config in configs)}"
        )
    return max(dated, key=lambda path: dated[path], default=None)


def _program(name: Name, root: Path) -> str:
    """What prepares the data set, for ``python -c``: TFDS's own command would need Apache Beam."""
    arguments = f"'{name}', data_dir={str(root.absolute())!r}, file_format='{READABLE[0]}'"
    return f"import tensorflow_datasets; tensorflow_datasets.builder({arguments}).download_and_prepare()"


def _command(name: Name, root: Path) -> str:
    return f'python -c "{_program(name, root)}"'


def _prepare(name: Name, root: Path) -> None:
    """Has TFDS prepare the data set; raises UserError with what is missing, and the command."""
    tfds = _import()
    known = tfds.list_builders(with_community_datasets=False)
    if name.name not in known:
        close = difflib.get_close_matches(name.name, known, n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        there = sorted((root / name.name).glob("**/dataset_info.json"))
        if there:
            hint = f"prepared is {' and '.join(str(path.parent.relative_to(root)) for path in there)}. "
        raise UserError(
            f"--data.name {name} is no file or folder here, no data set that is prepared in {root}, and "
            f"none that TensorFlow Datasets knows: {hint}Bundled is mnist."
        )
    command = _command(name, root)
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"{name} is not prepared in {root}, and preparing it needs TensorFlow, which is not installed. "
            f"Once, here or on another machine with the same folder:\n"
            f"  pip install tensorflow\n  {command}\n"
            "Reading it does not need TensorFlow."
        )
    print(f"{name} is not prepared in {root}: preparing it, once.\n  {command}", file=sys.stderr, flush=True)
    run = [sys.executable, "-c", _program(name, root)]
    # TensorFlow would take a GPU's memory for itself.
    alone = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(run, env=alone, stdout=sys.stderr, stderr=subprocess.PIPE) as process:
        said = _shown(process)
    if process.returncode == 0:
        return
    said = said.strip().splitlines() or ["it said nothing"]
    reason = next((line for line in reversed(said) if re.match(r"[\w.]*(Error|Exception)\b", line)), said[-1])
    if re.search("resolve|connection|proxy|unreachable|timed out|getaddrinfo", "\n".join(said), re.I):
        raise UserError(
            f"{name} is not prepared in {root}, and its files cannot be downloaded: there is no way to the "
            f"network ({reason[:300]}). Where there is one:\n  {command}\n"
            f"and bring {root / name.name} here; or put the downloads into {root / 'downloads'}."
        )
    raise UserError(
        f"TensorFlow Datasets could not prepare {name} ({reason[:300]}). It was asked to:\n  {command}"
    )


def _shown(process: "subprocess.Popen[bytes]") -> str:
    """Passes on what the process says, which may be the progress of a long download, and returns it."""
    said = bytearray()
    assert process.stderr is not None
    while part := os.read(process.stderr.fileno(), 2**16):
        os.write(2, part)
        said += part
        del said[: -(2**16)]
    return said.decode(errors="replace")


def _import() -> Any:
    try:
        # It says much that is of no use here.
        logging.getLogger("absl").setLevel(logging.ERROR)
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(
            f"TensorFlow Datasets cannot be imported ({error}): "
            "pip install tensorflow-datasets importlib_resources"
        ) from error
    return tensorflow_datasets


def _open(folder: Path, splits: Sequence[str], data: Data) -> Sequence[Pictures]:
    tfds = _import()
    try:
        builder = tfds.builder_from_directory(folder)
    except Exception as error:
        raise UserError(f"{folder} is not a data set that is prepared whole: {error}") from error
    key = _image_feature(tfds, builder, folder)

    # The other features are of no use, and images are decoded as those in a person's own files are.
    features = tfds.features.FeaturesDict({key: builder.info.features[key]})
    undecoded = {key: tfds.decode.SkipDecoding()}

    def pictures(split: str) -> Pictures:
        if builder.info.file_format is tfds.core.FileFormat.TFRECORD:
            records = find_records([Path(path) for path in builder.info.splits[split].filepaths])

            def record(number: int) -> bytes:
                return records[number].read()

        else:
            raw = tfds.decode.DeserializeMethod.RAW_BYTES
            record = builder.as_data_source(split, deserialize_method=raw).__getitem__

        def name(number: int) -> str:
            return f"{folder}, {split} image {number}"

        def read(number: int) -> Picture:
            try:
                image = features.deserialize_example_np(record(number), decoders=undecoded)[key]
            except Exception as error:
                raise UnreadableError(name(number), f"cannot be read: {error}") from error
            if isinstance(image, bytes):
                return decode(image, name(number), data)
            return adjust(image if image.ndim == 3 else image[..., None], name(number), data)

        return Pictures(builder.info.splits[split].num_examples, read, name)

    return [pictures(split) for split in splits]


def _image_feature(tfds: Any, builder: Any, folder: Path) -> str:
    """The one feature that is an image, or the one of that name."""
    # Read from the disk, they are in no order.
    features = dict(sorted(builder.info.features.items()))

    def is_image(feature: Any) -> bool:
        if isinstance(feature, tfds.features.Image):
            return feature.np_dtype == np.uint8
        shape = getattr(feature, "shape", None) or ()
        return type(feature) is tfds.features.Tensor and feature.np_dtype == np.uint8 and len(shape) in (2, 3)

    images = [name for name, feature in features.items() if is_image(feature)]
    if len(images) != 1 and "image" not in images:
        raise UserError(
            f"{folder} holds {', '.join(features)}: of these, {' and '.join(images) or 'none'} "
            f"{'are' if len(images) > 1 else 'is'} 8-bit images, and one is needed"
        )
    return "image" if "image" in images else images[0]
