"""How does a run go, from its first step to its summary, and how is it continued? Its folder, its loop.

- ``fit``: a whole run. ``loop``: call after call. ``evaluation``: the scores. ``replay``: a step again.
- ``folder``: what is in a run's folder, and may this command continue it?
- ``checkpoint``, ``manifest``: states that are whole. ``metrics``: ``metrics.jsonl``.
- ``goodput``: where the wall time went. ``progress``: what the person watching sees.
- ``signals``: Ctrl-C, SIGTERM, SIGHUP. ``trained``, ``untrained``: a model back, or a first state.
"""
