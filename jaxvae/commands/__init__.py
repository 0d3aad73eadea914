"""What does a person type? Each command parses, asks a folder below, and prints.

- ``train``: ``python train.py``. ``data``, ``evaluate``: ``python -m jaxvae data`` and ``evaluate``.
- ``flags``: which flags an experiment has.
"""
