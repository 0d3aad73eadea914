"""Which images are there, and where do they live? Files, libraries, memory; nothing of a model.

- ``load``: the door by which every source enters. ``sources/``: one file for each kind of source.
- ``given_arrays``: a Python caller's arrays.
- ``dataset``: what a set of images is. ``decoded_cache``, ``packing``: decoded once, kept beside the source.
- ``memory_map``: images that may be larger than memory. ``placement``, ``streaming``: to the devices.
- ``memory_needs``: does a run fit? ``advice``: which settings suit the images? ``summary``: what is in a set?
- ``principal_variances``: how much do images vary in each direction?
- ``image_grid``: images as one picture.
"""
