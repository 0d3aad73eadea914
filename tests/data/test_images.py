import numpy as np
from PIL import Image

from jaxvae.data.image_grid import GAP, is_marked, write_grid


def test_a_grid_shows_each_image_in_its_place(tmp_path):
    images = np.zeros((5, 28, 28, 1))
    images[3] = 1.0
    images[4, :, :14] = 7.0  # clipped to white
    write_grid(tmp_path / "grid.png", images, columns=2)
    pixels = np.asarray(Image.open(tmp_path / "grid.png"))
    assert pixels.shape == (3 * (56 + GAP) + GAP, 2 * (56 + GAP) + GAP)
    tiles = [pixels[r : r + 56, c : c + 56] for r in (2, 60, 118) for c in (2, 60)]
    assert [tile.mean() for tile in tiles[:4]] == [0, 0, 0, 255]
    assert tiles[4][:, :28].min() == 255
    assert tiles[4][:, 28:].max() == 0
    assert list(tmp_path.iterdir()) == [tmp_path / "grid.png"]


def test_colour_images_keep_their_channels(tmp_path):
    images = np.zeros((1, 8, 8, 3))
    images[..., 2] = 1.0
    write_grid(tmp_path / "grid.png", images, columns=1)
    assert Image.open(tmp_path / "grid.png").convert("RGB").getpixel((20, 20)) == (0, 0, 255)


def test_a_picture_says_who_made_it_where_it_begins(tmp_path):
    write_grid(tmp_path / "grid.png", np.zeros((100, 64, 64, 3)), columns=10)
    assert is_marked((tmp_path / "grid.png").read_bytes()[:256])
    assert Image.open(tmp_path / "grid.png").info["Software"] == "jaxvae"
    Image.open(tmp_path / "grid.png").save(tmp_path / "other.png")
    assert not is_marked((tmp_path / "other.png").read_bytes())
