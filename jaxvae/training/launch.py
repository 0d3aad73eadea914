"""Was this process started together with others? Read from the environment or the flags, without JAX."""

from collections.abc import Mapping

from jaxvae.errors import UserError


def are_started_together(environment: Mapping[str, str]) -> bool:
    """Whether a TPU pod, Slurm or Open MPI started several processes of this command."""
    pod = environment.get("TPU_WORKER_HOSTNAMES", "")
    names = ["OMPI_COMM_WORLD_SIZE", "MEGASCALE_NUM_SLICES"]
    # Inside an allocation but outside a job step there is one process, whatever SLURM_NTASKS is.
    names += ["SLURM_NTASKS"] if "SLURM_STEP_NODELIST" in environment else []
    tasks = (environment.get(name, "") for name in names)
    return "," in pod or any(number.isdigit() and int(number) > 1 for number in tasks)


def check(coordinator_address: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Raises UserError if only some of the three are given, or if one has an impossible value."""
    given = (coordinator_address, num_processes, process_id)
    if all(value is None for value in given):
        return
    if coordinator_address is None or num_processes is None or process_id is None:
        raise UserError("--coordinator_address, --num_processes and --process_id go together: give all three")
    if num_processes < 1:
        raise UserError(f"--num_processes {num_processes} cannot work: it must be 1 or more")
    if not 0 <= process_id < num_processes:
        raise UserError(f"--process_id {process_id} cannot work: it must be from 0 to {num_processes - 1}")
    host, _, port = coordinator_address.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535):
        raise UserError(
            f"--coordinator_address {coordinator_address} cannot work: it must be HOST:PORT, with a port "
            "from 1 to 65535"
        )
