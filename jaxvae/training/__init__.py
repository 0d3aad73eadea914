"""What does training compute, and on what? Arrays, keys and devices; no files of a run.

- ``step``: one training step. ``state``: what it reads and writes. ``optimizer``: gradients to weights.
- ``keys``: which random numbers. ``order``: which images, when.
- ``fused_steps``: many steps in one call. ``compilation``: compiling; ``compiled_programs``: its cache.
- ``parallel``: devices; the only file that uses ``pmap``. ``processes``, ``launch``: several hosts.
- ``collapse``: has the posterior collapsed, and what may help? ``diagnosis``: every term of one step.
- ``device_errors``: why a computation failed.
"""
