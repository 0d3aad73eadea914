"""Does a run survive what can happen to it? Makes faults for real and compares what comes out.

- ``harness``: starts a run as a user would, waits for it, and compares what it left.
- ``outside``: faults from outside a run: signals, damaged files, a full or vanished disk.
- ``inside``: faults inside a run: numbers that are not finite, other devices, several processes.
- ``test_faults``: a short draw of every fault. ``python -m benchmarks.faults`` makes them by the hundred.
"""
