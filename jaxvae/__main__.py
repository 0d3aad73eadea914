"""``python -m jaxvae data NAME``: looks at a set of images before anything is trained on it."""

import sys

if __name__ == "__main__":
    try:
        from jaxvae.commands.data import main
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main())
