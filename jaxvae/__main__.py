"""``python -m jaxvae data NAME`` looks at a set of images before anything is trained on it; ``python -m
jaxvae evaluate RUN`` studies what was trained."""

import sys

if __name__ == "__main__":
    try:
        if sys.argv[1:2] == ["evaluate"]:
            from jaxvae.commands.evaluate import main
        else:
            from jaxvae.commands.data import main
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main())
