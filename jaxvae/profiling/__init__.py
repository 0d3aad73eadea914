"""What does a step spend its time on, and what did XLA compile?

- ``profile``: ``train.py --profile``. ``hlo``: the compiled program's text. ``trace``: how long each ran.
"""
