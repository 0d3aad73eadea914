"""What does training compute, and on what? Arrays, keys and devices; no files of a run.

- ``step``: one training step. ``state``: what it reads and writes. ``optimizer``: gradients to weights.
- ``keys``: which random numbers. ``order``: which images, when.
- ``fused_steps``: many steps in one compiled call. ``compilation``, ``compiled_programs``: how, and kept.
- ``parallel``: devices; the only file that says ``pmap``. ``processes``, ``launch``: several hosts.
- ``diagnosis``: one step, looked at closely. ``failures``: why a computation broke off.
"""
