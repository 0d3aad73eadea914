import numpy as np

from jaxvae import hosts


def test_alone_the_first_does_everything_and_broadcasts_nothing():
    assert hosts.is_first()
    assert hosts.first_does(lambda: 3) == 3
    tree = {"a": np.float32(-0.0)}
    assert hosts.broadcast(tree) is tree
