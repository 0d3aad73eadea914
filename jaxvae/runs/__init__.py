"""How does a run go, from its first step to its summary, and how is it continued? Its folder, its loop.

- ``fit``: a whole run. ``train``: the same from Python. ``summary``: what it ends with.
- ``loop``: call after call. ``evaluation``: the scores. ``replay``: a step again.
- ``folder``: what is in a run's folder, and may this command continue it?
- ``checkpoint``, ``checkpoint_manifest``: states that are whole. ``metrics``: ``metrics.jsonl``.
- ``loggers``: to whom numbers and pictures are given: files, the console, a user's own.
- ``goodput``: where the wall time went. ``progress``: what the person watching sees.
- ``ending/``: which state is tested, and what is scored when training has ended.
- ``run``: a run to read from, and its first state.
"""
