import numpy as np
import pytest

from jaxvae.data import memory_map
from jaxvae.errors import RunError

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 4, 3, 2), np.uint8)


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    return np.load(tmp_path / "a.npy", mmap_mode="r")


def test_a_map_gives_the_images_that_memory_gives(mapped):
    rows = np.random.default_rng(1).integers(0, 50, (2, 3, 7))
    for images in (IMAGES, mapped):
        np.testing.assert_array_equal(memory_map.gather(images, rows), IMAGES[rows])
    # Also of a view of the file that begins elsewhere.
    np.testing.assert_array_equal(memory_map.gather(mapped[10:], rows % 40), IMAGES[10:][rows % 40])
    squeezed = mapped.reshape(50, 24)[:, None, :, None]
    np.testing.assert_array_equal(
        memory_map.gather(squeezed, rows).reshape(42, 4, 3, 2), IMAGES[rows.ravel()]
    )


@pytest.mark.parametrize("size", [1, 24, 100, 10**6])
def test_blocks_are_all_images_in_order(mapped, monkeypatch, size):
    monkeypatch.setattr(memory_map, "BLOCK_BYTES", size)
    for images in (IMAGES, mapped):
        np.testing.assert_array_equal(np.concatenate(list(memory_map.blocks(images))), IMAGES)
    assert memory_map.digest_images(mapped[10:]) == memory_map.digest_images(IMAGES[10:])


def test_a_file_that_became_shorter_is_named_and_ends_nothing(mapped, tmp_path):
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(300)
    with pytest.raises(RunError, match=r"a\.npy is shorter than it was when it was opened"):
        memory_map.gather(mapped, np.array([0, 49]))
    (tmp_path / "a.npy").unlink()
    with pytest.raises(RunError, match=r"a\.npy cannot be read \(No such file or directory\)"):
        memory_map.gather(mapped, np.array([0]))


def test_a_digest_knows_shapes_and_where_one_set_ends():
    digests = [
        memory_map.digest_images(*sets)
        for sets in (
            (IMAGES,),
            (IMAGES.reshape(50, 3, 4, 2),),
            (IMAGES.reshape(25, 8, 3, 2),),
            (IMAGES[:20], IMAGES[20:]),
            (IMAGES[:21], IMAGES[21:]),
            (IMAGES[::-1],),
            (255 - IMAGES,),
        )
    ]
    assert len(set(digests)) == len(digests)
    assert memory_map.digest_images(IMAGES.copy()) == digests[0]
