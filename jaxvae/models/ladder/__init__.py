"""What is a hierarchy of latents on maps, from coarse to fine?

- ``model``: the whole, p(x, z) and q(z|x) of all groups.
- ``group``: one group, its prior and posterior given those above, and what it hands on.
- ``maps``: the convolutions between an image and feature maps of several sizes.
"""
