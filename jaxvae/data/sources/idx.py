"""How is an IDX file read, the format of MNIST's own files?"""

import math

import numpy as np
from jaxtyping import UInt8


def idx_shape(head: bytes) -> tuple[int, ...]:
    """The shape of the array in an IDX file of unsigned bytes, by its head; raises ValueError if it is none.

    Big-endian: two zero bytes, the type (8), the number of axes, a 32-bit length for each, the values.
    """
    if len(head) < 4 or head[:3] != b"\0\0\x08":
        raise ValueError("not an IDX file of unsigned bytes")
    if len(head) < 4 + 4 * head[3]:
        raise ValueError("an IDX file that ends in its head")
    return tuple(int(n) for n in np.frombuffer(head[4 : 4 + 4 * head[3]], ">u4"))


def decode_idx(content: bytes) -> UInt8[np.ndarray, "..."]:
    """The array in an IDX file of unsigned bytes; raises ValueError if it is not one."""
    shape = idx_shape(content)
    header = 4 + 4 * len(shape)
    if len(content) != header + math.prod(shape):
        raise ValueError(
            f"an IDX file of shape {shape} has {header + math.prod(shape)} bytes, not {len(content)}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
