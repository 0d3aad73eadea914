"""What does the command line accept, and what does it say when it cannot?"""

import argparse
import contextlib
import dataclasses
import difflib
import gc
import os
import re
import runpy
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import tyro

from jaxvae import system
from jaxvae.config import Config, Data, Model
from jaxvae.console import open_console
from jaxvae.errors import ReportedError, UserError
from jaxvae.signals import Signals
from jaxvae.validation import validate


@dataclasses.dataclass(frozen=True)
class Command:
    """Train a variational autoencoder, or continue the run in --workdir.

    Running the same command again continues the run from its last good checkpoint; a finished run is
    only evaluated.
    """

    config: str
    """The experiment: the name of a file in configs/, or a path to one."""
    experiment: Annotated[Config, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    workdir: Path | None = None
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
        system.check()
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


@dataclasses.dataclass(frozen=True)
class Look:
    """Show a set of images before anything is trained on it: python -m jaxvae data NAME."""

    data: Data
    picture: Path | None = None
    """Where to write a contact sheet; None: data-NAME.png."""


def main_data(arguments: list[str] | None = None) -> int:
    """Runs ``python -m jaxvae data NAME``, which takes the flags of ``train.py`` that begin with --data;
    returns the exit code."""
    open_console()
    arguments = sys.argv[1:] if arguments is None else arguments
    wants_help = bool({"-h", "--help"} & set(arguments))
    if arguments[:1] != ["data"] or (len(arguments) < 2 and not wants_help):
        print("usage: python -m jaxvae data NAME [--data.FIELD VALUE ...] [--picture PNG]", file=sys.stderr)
        return 0 if wants_help else 2
    named = not arguments[1].startswith("-")
    name, flags = (arguments[1], arguments[2:]) if named else (Data().name, arguments[1:])
    found = tyro.cli(
        Look,
        args=flags,
        default=Look(Data(name=name)),
        prog="python -m jaxvae data NAME",
        use_underscores=True,
        config=(tyro.conf.FlagConversionOff,),
    )
    try:
        system.check()
        # Whatever model may follow, these are for one that takes any pixels.
        validate(Config(data=found.data, model=Model(likelihood="gaussian")))
        from jaxvae.look import look

        stem = re.sub(r"[^\w.-]+", "-", found.data.name).strip("-.")
        print(look(found.data, found.picture or Path(f"data-{stem}.png")))
    except ReportedError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _run(command: Command, signals: Signals, started: float) -> None:
    path = command.workdir or Path("runs") / Path(command.config).stem
    if command.replay is not None and command.profile:
        raise UserError("--replay and --profile are two commands: give one of them")
    from jaxvae.workdir import Workdir

    # JAX takes seconds to import: a mistake in the command is answered before, and the images are read
    # meanwhile.
    validate(command.experiment)
    Workdir(path).check(command.experiment)
    with _nothing_collected():
        from jaxvae.data import begin_loading

        begin_loading(command.experiment.data)
        from jaxvae import hosts

        several = (command.coordinator_address, command.num_processes, command.process_id)
        if any(value is not None for value in several) or hosts.are_started_together(os.environ):
            hosts.join(*several)
            # JAX's own watch for SIGTERM has replaced ours; the calls' reports carry the word to stop.
            signals.take()
        from jaxvae.cache import users_cache
        from jaxvae.fit import fit
        from jaxvae.replay import replay
    if command.replay is not None:
        print(replay(command.experiment, path, command.replay))
    elif command.profile:
        from jaxvae.profile import profile

        print(profile(command.experiment, path))
    else:
        fit(command.experiment, path, signals, started, users_cache())


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Inside, nobody looks for garbage, which takes a tenth of the imports' time: what they make is none."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _leave(code: int) -> None:
    """With several processes, ends this one without waiting for those that it may have lost."""
    hosts = sys.modules.get("jaxvae.hosts")
    if hosts is not None and hosts.count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def parse(configs: Path, arguments: list[str]) -> Command:
    """The command with the experiment's own defaults under the flags.

    Raises UserError for an unknown experiment, and SystemExit(2), after printing what was wrong, for
    a flag or value that does not parse.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    name = first.parse_known_args(arguments)[0].config
    if name is None:
        known = ", ".join(_experiments(configs))
        if {"-h", "--help"} & set(arguments):
            print("--config NAME --help shows an experiment's own defaults. "
                  f"Experiments: {known}. Without one, these are the defaults:\n")  # fmt: skip
            name, experiment = "NAME", Config()
        else:
            raise UserError(f"which experiment? --config NAME, with NAME one of: {known}")
    else:
        experiment = load_experiment(configs, name)
    return tyro.cli(
        Command,
        args=arguments,
        default=Command(name, experiment),
        prog="train.py",
        use_underscores=True,
    )


def load_experiment(configs: Path, name: str) -> Config:
    """The ``config`` in ``configs/NAME.py``, or in the file that ``name`` is a path of."""
    path = Path(name) if name.endswith(".py") else configs / f"{name}.py"
    if not path.is_file():
        known = _experiments(configs)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(f"--config {name}: there is no {path}; {hint}Experiments: {', '.join(known)}")
    config = runpy.run_path(str(path)).get("config")
    if not isinstance(config, Config):
        raise UserError(f"--config {name}: {path} must define config = Config(...)")
    return config


def _experiments(configs: Path) -> list[str]:
    return sorted(path.stem for path in configs.glob("*.py"))
