import numpy as np

from jaxvae.training import processes


def test_alone_the_first_does_everything_and_broadcasts_nothing():
    assert processes.is_first()
    assert processes.first_does(lambda: 3) == 3
    tree = {"a": np.float32(-0.0)}
    assert processes.broadcast(tree) is tree
