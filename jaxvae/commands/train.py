"""``python train.py --config NAME``: trains, continues, replays or profiles a run."""

import argparse
import contextlib
import dataclasses
import gc
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import tyro

from jaxvae.commands.flags import (
    chosen_kinds,
    refuse_other_kinds_flags,
    refuse_unfit_values,
    with_kind_flags,
    without_kind_flags,
)
from jaxvae.config import Config
from jaxvae.config.experiment_file import experiment_file, known_experiments, load_experiment
from jaxvae.config.nested import sections_of
from jaxvae.config.validation import Origin, typed_fields, validate
from jaxvae.data.memory_needs import refuse_image_size
from jaxvae.errors import ReportedError, UserError
from jaxvae.system import platforms
from jaxvae.system.console import open_console
from jaxvae.system.paths import meant_path
from jaxvae.system.signals import Signals
from jaxvae.training import launch


@dataclasses.dataclass(frozen=True)
class Command:
    """Train a variational autoencoder, or continue the run in --workdir.

    Running the same command again continues the run from its last good checkpoint; a finished run is
    only evaluated.
    """

    config: str
    """The experiment: the name of a file in configs/, or a path to one."""
    experiment: Annotated[Config, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    workdir: Annotated[str | None, tyro.conf.arg(metavar="{None}|PATH")] = None
    """The run's folder; None: runs/NAME of the experiment."""
    replay: int | None = None
    """Train nothing: go back to this step of the run in --workdir, exactly, and say what happens there."""
    profile: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Train nothing: watch some steps of the run in --workdir, print the ten most expensive operations,
    and write the trace to profile/ there."""
    coordinator_address: str | None = None
    """Several hosts, where the environment does not tell (TPU pods, Slurm and Open MPI do): HOST:PORT of
    the first process, the same for all."""
    num_processes: int | None = None
    """Several hosts: how many processes train together."""
    process_id: int | None = None
    """Several hosts: which of them this is, from 0."""


def main(configs: Path, arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit code.

    0; 2 for a mistake in the command; 1 for a run that cannot go on; 129, 130 and 143 after SIGHUP,
    SIGINT and SIGTERM.
    """
    started = time.perf_counter()
    open_console()
    arguments = sys.argv[1:] if arguments is None else arguments
    command = None
    try:
        platforms.check()
        with Signals() as signals:
            command = parse(configs, arguments)
            _run(command, signals, started)
    except ReportedError as error:
        print("error: " * (error.exit_code < 128) + str(error), file=sys.stderr)
        if (step := getattr(error, "step", None)) is not None:
            again = shlex.join(["python", sys.argv[0], *arguments, "--replay", str(step)])
            print(f"This goes back to that very step and shows it again:\n  {again}", file=sys.stderr)
        _leave(error.exit_code)
        return error.exit_code
    return 0


def _run(command: Command, signals: Signals, started: float) -> None:
    config = command.experiment
    path = (
        Path("runs") / Path(command.config).name.removesuffix(".py")
        if command.workdir is None
        else meant_path(command.workdir, "--workdir")
    )
    if command.replay is not None and command.profile:
        raise UserError("--replay and --profile are two commands: give one of them")
    several = (command.coordinator_address, command.num_processes, command.process_id)
    launch.check(*several)
    from jaxvae.runs.folder import Workdir

    # Importing JAX takes seconds. Mistakes in the command are therefore reported before it, and the images
    # are read in the background meanwhile.
    refuse_image_size(config.data, config.train.batch_size)
    folder = Workdir(path)
    if command.replay is None:
        folder.check(config)
    else:
        folder.check_replay(config, command.replay)
    with _nothing_collected():
        from jaxvae.data.load import begin_loading

        begin_loading(config.data)
        from jaxvae.training import processes

        if several != (None, None, None) or launch.are_started_together(os.environ):
            processes.join(*several)
            # JAX has replaced our handler of SIGTERM by its own, so ours is installed again. The reports of
            # the calls tell the other processes to stop.
            signals.install()
        from jaxvae.runs.fit import fit
        from jaxvae.runs.replay import replay
        from jaxvae.training.compiled_programs import users_cache
    if command.replay is not None:
        print(replay(config, path, command.replay))
    elif command.profile:
        from jaxvae.profiling.profile import profile

        print(profile(config, path))
    else:
        fit(config, path, signals, started, users_cache())


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Disables the garbage collector: it takes a tenth of the time of imports and finds nothing in them."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _leave(code: int) -> None:
    """With several processes, ends this one without waiting for the others, which may be gone."""
    processes = sys.modules.get("jaxvae.training.processes")
    if processes is not None and processes.is_joined():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def parse(configs: Path, arguments: list[str]) -> Command:
    """The command, checked: the flags override the experiment's own values.

    Raises UserError for an unknown experiment or one with impossible values, and SystemExit(2), after
    printing the reason, for a flag or value that does not parse.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    name, file = first.parse_known_args(arguments)[0].config, None
    if name is None:
        known = ", ".join(known_experiments(configs))
        if {"-h", "--help"} & set(arguments):
            print("--config NAME --help shows an experiment's own defaults. "
                  f"Experiments: {known}. Without one, these are the defaults:\n")  # fmt: skip
            name, experiment = "NAME", Config()
        else:
            raise UserError(f"which experiment? --config NAME, with NAME one of: {known}")
    else:
        file = experiment_file(configs, name)
        experiment = load_experiment(file)
    chosen, typed = chosen_kinds(experiment, arguments)
    refuse_other_kinds_flags(chosen, arguments)
    refuse_unfit_values(sections_of(chosen), arguments)
    command = tyro.cli(
        Command,
        args=arguments,
        default=Command(name, with_kind_flags(chosen)),
        prog="train.py",
        use_underscores=True,
    )
    typed |= typed_fields(arguments, chosen)
    origin = Origin(None if file is None else str(file), typed, experiment)
    return dataclasses.replace(command, experiment=validate(without_kind_flags(command.experiment), origin))
