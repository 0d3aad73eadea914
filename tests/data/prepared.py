"""Prepares small data sets of TFDS, without TensorFlow, for the tests that read them."""

import contextlib
import io
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


def prepare(
    root: Path,
    splits: dict[str, list[np.ndarray]],
    name: str = "tiny",
    version: str = "1.0.0",
    config: str | None = None,
    feature=None,
    **others,
) -> Path:
    """Writes the images as ArrayRecord, in PNG files or, if ``feature`` is a tensor, as they are."""
    feature = feature or tfds.features.Image(shape=(None, None, splits["train"][0].shape[-1]))
    features = {"image": feature, "label": tfds.features.ClassLabel(num_classes=2), **others}

    def stored(image):
        if not isinstance(feature, tfds.features.Image):
            return image.astype(feature.np_dtype)
        file = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
        file.seek(0)
        return file

    class Prepared(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager, **_):
            return {split: self._examples(images) for split, images in splits.items()}

        def _examples(self, images):
            for number, image in enumerate(images):
                yield number, {"image": stored(image), "label": number % 2, **dict.fromkeys(others, image)}

        def _generate_examples(self, **_):
            raise NotImplementedError

    Prepared.name = name
    builder = Prepared(data_dir=root, file_format="array_record")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        builder.download_and_prepare()
    return Path(builder.data_dir)
