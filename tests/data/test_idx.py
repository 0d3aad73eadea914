import numpy as np
import pytest

from jaxvae.data.sources.idx import decode_idx


def test_idx_is_decoded_and_anything_else_refused():
    content = b"\0\0\x08\x02" + (2).to_bytes(4, "big") + (3).to_bytes(4, "big") + bytes(range(6))
    np.testing.assert_array_equal(decode_idx(content), np.arange(6).reshape(2, 3))
    with pytest.raises(ValueError, match="not an IDX file"):
        decode_idx(b"PNG....")
    with pytest.raises(ValueError, match=r"shape \(2, 3\) has 18 bytes, not 17"):
        decode_idx(content[:-1])
