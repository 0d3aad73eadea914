"""Which images validate: some of the training images, which are not trained on, or a set of their own."""

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxvae.config import Config, Data
from jaxvae.config.validation import Origin, validate
from jaxvae.data.given_arrays import in_memory
from jaxvae.data.load import begin_loading, load, pixel_mean
from jaxvae.data.memory_map import Chosen, blocks, digest_images, gather
from jaxvae.data.sources.splits import choose
from jaxvae.data.sources.tfds import choose_splits
from jaxvae.data.validation import divide, with_validation
from jaxvae.errors import UserError

# No two are equal, and each says its number.
IMAGES = np.random.default_rng(0).integers(2, 256, (40, 4, 3), dtype=np.uint8)
IMAGES[:, 0, 0] = np.arange(40)


def numbers(images) -> list[int]:
    """Which of ``IMAGES`` they are, having compared every pixel."""
    found = np.asarray(images)[:, 0, 0].reshape(-1).tolist()
    np.testing.assert_array_equal(np.asarray(images).reshape(-1, 4, 3), IMAGES[found])
    return found


@pytest.fixture
def npz(tmp_path):
    np.savez(tmp_path / "a.npz", train=IMAGES[:30], test=IMAGES[30:])
    return str(tmp_path / "a.npz")


@pytest.fixture
def mapped(tmp_path):
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "train.npy", IMAGES[:30, ..., None])
    np.save(tmp_path / "arrays" / "test.npy", IMAGES[30:, ..., None])
    return str(tmp_path / "arrays")


@pytest.mark.parametrize("wanted", [1, 1.0, 0.01])
def test_a_single_image_chooses_nothing(npz, wanted):
    with pytest.raises(UserError, match="which is by chance; two are the least"):
        load(Data(name=npz, binarization="none", validation=wanted))


@pytest.mark.parametrize(("wanted", "held"), [(2, 2), (7, 7), (29, 29), (0.1, 3), (0.5, 15)])
def test_both_parts_are_the_whole_and_share_nothing(npz, mapped, wanted, held):
    for name in (npz, mapped):
        whole, dataset = load(Data(name=name)), load(Data(name=name, validation=wanted))
        assert dataset.validation is not None
        trained, validated = numbers(dataset.train), numbers(dataset.validation)
        assert len(validated) == held
        assert sorted(trained + validated) == list(range(30)) == numbers(whole.train)
        assert trained == sorted(trained)
        assert validated == sorted(validated)
        assert numbers(dataset.test) == numbers(whole.test) == list(range(30, 40))
        assert dataset.chosen.startswith(f"{held} of 30 training images")


def test_it_is_always_the_same_part_of_whatever_set_and_drawn_from_all_of_it():
    trained, validated = divide(60_000, 10_000)
    again = divide(60_000, 10_000)
    np.testing.assert_array_equal(again[0], trained)
    np.testing.assert_array_equal(again[1], validated)
    # Written down once: these are the images that runs have chosen by.
    assert validated[:4].tolist() == FIRST
    # A draw without replacement: ten equal parts of the set hold 1,000 each, give or take 27.
    counts = np.bincount(validated // 6000, minlength=10)
    assert abs(counts - 1000).max() < 4 * 27.4, counts


FIRST = [13, 23, 26, 34]


@pytest.mark.parametrize("wanted", [30, 31, 10**6])
def test_something_is_left_to_train_on(npz, wanted):
    with pytest.raises(UserError, match=rf"--data\.validation {wanted} cannot work: of the 30 training"):
        load(Data(name=npz, validation=wanted))


def test_images_in_a_file_are_not_copied_and_read_as_an_array_is(mapped):
    part = load(Data(name=mapped, validation=11))
    for images, which in ((part.train, divide(30, 11)[0]), (part.validation, divide(30, 11)[1])):
        assert isinstance(images, Chosen)
        array = IMAGES[which][..., None]
        assert (images.shape, images.dtype, len(images), images.nbytes) == (
            array.shape,
            array.dtype,
            len(array),
            array.nbytes,
        )
        rows = np.array([[3, 0], [len(array) - 1, 3]])
        np.testing.assert_array_equal(gather(images, rows), array[rows])
        np.testing.assert_array_equal(np.concatenate(list(blocks(images))), array)
        np.testing.assert_array_equal(np.asarray(images), array)
        np.testing.assert_array_equal(images[2:5], array[2:5])
        np.testing.assert_array_equal(images[-1], array[-1])
        assert digest_images(images) == digest_images(array)


def test_what_is_measured_on_training_images_is_not_measured_on_validation_images(npz):
    data = Data(name=npz, validation=10)
    trained = divide(30, 10)[0]
    mean = pixel_mean(load(data).train, data)
    np.testing.assert_allclose(mean[..., 0], IMAGES[trained].mean(0) / 255, rtol=1e-6)


def test_a_run_knows_its_validation_images_by_the_digest(npz, tmp_path):
    def digest(name, wanted):
        return load(Data(name=name, validation=wanted)).digest()

    assert len({digest(npz, wanted) for wanted in (None, 5, 6, 0.9)}) == 4
    assert digest(npz, 6) == digest(npz, 0.2)
    other = IMAGES.copy()
    other[divide(30, 6)[1][2], 3, 2] ^= 1
    np.savez(tmp_path / "b.npz", train=other[:30], test=other[30:])
    assert digest(str(tmp_path / "b.npz"), 6) != digest(npz, 6)


# --- a set of its own -------------------------------------------------------------------------------------


def of_their_own(tmp_path):
    """Sources with three sets, of 20, 12 and 8 images."""
    parts: dict[str, Any] = {"train": IMAGES[:20], "val": IMAGES[20:28], "test": IMAGES[28:]}
    np.savez(tmp_path / "three.npz", **parts, y_val=np.arange(8))
    deep: dict[str, Any] = {name: part.astype(np.int64) for name, part in parts.items()}
    np.savez(tmp_path / "deep.npz", **deep)
    (tmp_path / "arrays").mkdir()
    for name, part in parts.items():
        np.save(tmp_path / "arrays" / f"x_{name}.npy", part)
        folder = tmp_path / "photos" / ("Validation" if name == "val" else name)
        folder.mkdir(parents=True)
        for number, image in enumerate(part):
            Image.fromarray(image).save(folder / f"{number:02}.png")
    return [str(tmp_path / name) for name in ("three.npz", "deep.npz", "arrays", "photos")]


def test_a_set_of_its_own_is_used_when_asked_and_otherwise_as_if_it_were_not_there(tmp_path):
    for name in of_their_own(tmp_path):
        own = load(Data(name=name, validation="own"))
        assert numbers(own.train) == list(range(20))
        assert numbers(own.validation) == list(range(20, 28))
        assert numbers(own.test) == list(range(28, 40))
        assert own.chosen == "a set of their own"
        without = load(Data(name=name))
        assert without.validation is None
        assert numbers(without.train) == list(range(20))
        assert numbers(without.test) == list(range(28, 40))
        assert without.remarks.partition("skipped")[2] or without.remarks.partition("ignored")[2]
        assert own.digest() != without.digest()
        part = load(Data(name=name, validation=5))
        assert part.validation is not None
        assert sorted(numbers(part.train) + numbers(part.validation)) == list(range(20))


def test_who_has_none_cannot_be_asked_for_it(npz, mapped, tmp_path):
    np.savez(tmp_path / "val.npz", train=IMAGES[:30], val=IMAGES[30:])
    np.save(tmp_path / "one.npy", IMAGES)
    for name in (npz, mapped, str(tmp_path / "val.npz"), str(tmp_path / "one.npy"), "mnist"):
        with pytest.raises(UserError, match=r"--data\.validation own cannot work: .* has no validation set"):
            load(Data(name=name, validation="own"))
    begin_loading(Data(validation="own"))
    with pytest.raises(UserError, match="mnist has no validation set"):
        load(Data(validation="own"))


def test_two_that_could_be_meant_are_refused_only_when_one_is_asked_for():
    names = ["train", "test", "val2014", "val2015"]
    assert choose(names, "here").test == "test"
    assert choose(names, "here").validation(Data(), "here") is None
    with pytest.raises(UserError, match="val2014 and val2015, each of which could be the validation images"):
        choose(names, "here").validation(Data(validation="own"), "here")


def test_splits_of_a_prepared_set(tmp_path):
    own, sizes = Data(validation="own"), {"train": 5, "validation": 3, "test": 2, "extra": 1}
    assert choose_splits(sizes, tmp_path, own)[0] == ("train", "test", "validation")
    assert choose_splits(sizes, tmp_path, Data())[0] == ("train", "test")
    assert choose_splits({"train": 5, "validation": 3}, tmp_path, own)[0] == ("train", "validation")


# --- from Python ------------------------------------------------------------------------------------------


def given(images, data):
    """What a caller's arrays are trained on."""
    return with_validation(in_memory(images, data), data)


def test_three_arrays_are_to_train_to_validate_and_to_test():
    three = given((IMAGES[:20], IMAGES[20:28], IMAGES[28:]), Data(validation="own"))
    assert [numbers(images) for images in three.sets()] == [
        list(range(20)),
        list(range(20, 28)),
        list(range(28, 40)),
    ]
    part = given((IMAGES[:30], IMAGES[30:]), Data(validation=0.2))
    assert part.validation is not None
    assert sorted(numbers(part.train) + numbers(part.validation)) == list(range(30))
    one = given(IMAGES, Data(validation=4))
    assert [len(images) for images in one.sets()] == [32, 4, 4]
    assert sorted(number for images in one.sets() for number in numbers(images)) == list(range(40))
    with pytest.raises(UserError, match=r"--data\.validation 4 is of no use with arrays in memory, which"):
        given((IMAGES[:20], IMAGES[20:28], IMAGES[28:]), Data(validation=4))
    with pytest.raises(UserError, match="arrays in memory has no validation set"):
        given((IMAGES[:30], IMAGES[30:]), Data(validation="own"))
    with pytest.raises(UserError, match=r"training and validation images have the shapes \(4, 3, 1\) and"):
        given((IMAGES, IMAGES[:, :3], IMAGES), Data(validation="own"))


def test_without_it_nothing_is_another():
    dataset = in_memory((IMAGES[:30], IMAGES[30:]), Data())
    assert with_validation(dataset, Data()) is dataset
    assert dataset.digest() == digest_images(IMAGES[:30, ..., None], IMAGES[30:, ..., None])


@pytest.mark.parametrize(
    ("value", "means"),
    [(5000, 5000), (5000.0, 5000), ("5000", 5000), (0.1, 0.1), ("own", "own"), (None, None)],
)
def test_from_a_file_and_from_python(value, means):
    for nested in ({"data": {"validation": value}}, json.loads(json.dumps({"data": {"validation": value}}))):
        found = validate(nested).data.validation
        assert (found, type(found)) == (means, type(means))
    assert validate(Config(data=Data(validation=value))).data.validation == means


def test_a_bad_value_is_one_line():
    for value in (0, -1, 1.5, "mine", True, [3]):
        with pytest.raises(UserError) as raised:
            validate({"data": {"validation": value}}, Origin("a.json"))
        assert str(raised.value) == (
            f"a.json: data.validation {value!r} cannot work: it must be a share above 0 and below 1, a whole "
            "number of images, or own, or None"
        )
