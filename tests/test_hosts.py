import numpy as np
import pytest

from jaxvae import hosts
from jaxvae.errors import UserError


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1"}, False),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}, True),
        ({"SLURM_NTASKS": "4"}, False),
        ({"SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "a[1-4]"}, True),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "a1"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"MEGASCALE_NUM_SLICES": "2"}, True),
    ],
)
def test_several_processes_are_told_from_one_by_the_environment(environment, several):
    assert hosts.are_started_together(environment) == several


def test_half_an_address_is_refused():
    with pytest.raises(UserError, match="go together: give all three"):
        hosts.join("localhost:1234", None, None)
    with pytest.raises(UserError, match="--process_id 2 cannot work: it must be from 0 to 1"):
        hosts.join("localhost:1234", 2, 2)


def test_alone_the_first_does_everything_and_broadcasts_nothing():
    assert hosts.is_first()
    assert hosts.first_does(lambda: 3) == 3
    tree = {"a": np.float32(-0.0)}
    assert hosts.broadcast(tree) is tree
