"""Train a variational autoencoder: ``python train.py --config mnist``."""

import sys
from pathlib import Path

from jaxvae.commands.train import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).parent / "configs"))
