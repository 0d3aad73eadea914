"""What does a person type? Each command parses, asks a folder below, and prints.

- ``train``: ``python train.py``. ``data``: ``python -m jaxvae data``.
- ``flags``: which flags an experiment has.
"""
