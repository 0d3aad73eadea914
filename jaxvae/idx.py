"""How is an IDX file read, the format of MNIST's own files?"""

import math

import numpy as np
from jaxtyping import UInt8


def decode_idx(content: bytes) -> UInt8[np.ndarray, "..."]:
    """The array in an IDX file of unsigned bytes; raises ValueError if it is not one.

    Big-endian: two zero bytes, the type (8), the number of axes, a 32-bit length for each, the values.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError("not an IDX file of unsigned bytes")
    axes = content[3]
    header = 4 + 4 * axes
    shape = tuple(int(n) for n in np.frombuffer(content[4:header], ">u4"))
    if len(content) != header + math.prod(shape):
        raise ValueError(
            f"an IDX file of shape {shape} has {header + math.prod(shape)} bytes, not {len(content)}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
