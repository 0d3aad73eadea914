"""What does the command line accept, and what does it say when it cannot?"""

import argparse
import dataclasses
import difflib
import runpy
import sys
from pathlib import Path
from typing import Annotated

import tyro

from jaxvae.config import Config, UserError


@dataclasses.dataclass(frozen=True)
class Command:
    """Train a variational autoencoder, or continue the run in --workdir.

    Running the same command again continues the run from its last good checkpoint; a finished run is
    only evaluated.
    """

    config: str
    """The experiment: the name of a file in configs/, or a path to one."""
    experiment: Annotated[Config, tyro.conf.arg(name="")]
    workdir: Path | None = None
    """The run's folder; None: runs/NAME of the experiment."""


def main(configs: Path, arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit code: 0, or 2 for a mistake in the command."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        command = parse(configs, arguments)
        # JAX takes seconds to import: a mistake in the command is answered before.
        from jaxvae.fit import fit

        fit(command.experiment, command.workdir or Path("runs") / Path(command.config).stem)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


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
        config=(tyro.conf.FlagConversionOff,),
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
