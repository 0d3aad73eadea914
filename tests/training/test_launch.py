import pytest

from jaxvae.errors import UserError
from jaxvae.training import launch


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
    assert launch.are_started_together(environment) == several


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("localhost:1234", None, None), "go together: give all three"),
        ((None, 2, 0), "go together: give all three"),
        (("localhost:1234", 2, 2), "--process_id 2 cannot work: it must be from 0 to 1"),
        (("localhost:1234", 2, -1), "--process_id -1 cannot work: it must be from 0 to 1"),
        (("localhost:1234", 0, 0), "--num_processes 0 cannot work: it must be 1 or more"),
        (("localhost", 2, 0), "--coordinator_address localhost cannot work: it must be HOST:PORT"),
        (("localhost:http", 2, 0), "--coordinator_address localhost:http cannot work"),
        (("localhost:0", 2, 0), "a port from 1 to 65535"),
        (("localhost:65536", 2, 0), "a port from 1 to 65535"),
        ((":1234", 2, 0), "it must be HOST:PORT"),
    ],
)
def test_an_address_that_cannot_work_is_refused_by_its_flag(given, says):
    with pytest.raises(UserError, match=says):
        launch.check(*given)


@pytest.mark.parametrize("given", [(None, None, None), ("10.0.0.1:1234", 1, 0), ("[::1]:65535", 8, 7)])
def test_a_good_one_is_not(given):
    launch.check(*given)
