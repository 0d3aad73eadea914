"""``python -m jaxvae data NAME``: looks at a set of images before anything is trained on it."""

import sys

from jaxvae.cli import main_data

if __name__ == "__main__":
    sys.exit(main_data())
