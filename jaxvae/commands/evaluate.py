"""``python -m jaxvae evaluate RUN``: how good is a trained model, and what is inside it?"""

import dataclasses
import json
import sys
from typing import Annotated

import tyro

from jaxvae.analysis.options import Options
from jaxvae.commands.flags import refuse_unfit_values
from jaxvae.errors import ReportedError, UserError
from jaxvae.runs.folder import Workdir
from jaxvae.system import platforms
from jaxvae.system.console import check_output, open_console
from jaxvae.system.signals import Signals


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score the model of a run, finished or not, on its test images, and study it.

    Nothing in the run's folder is changed.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    options: Annotated[Options, tyro.conf.arg(name="")]
    json: bool = False
    """Print one JSON object instead of tables."""


def main(arguments: list[str] | None = None) -> int:
    """Runs ``python -m jaxvae evaluate RUN``; returns the exit code: 0; 2 for a mistake in the command; 1 if
    it cannot go on."""
    open_console()
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        platforms.check()
        with Signals("Nothing was changed, and what was to be written is not there."):
            _evaluate(arguments[1:])
            check_output()
    except ReportedError as error:
        print(f"error: {error}" if error.exit_code < 128 else error, file=sys.stderr)
        return error.exit_code
    return 0


def _evaluate(arguments: list[str]) -> None:
    refuse_unfit_values({"": Options}, arguments)
    command = tyro.cli(
        Evaluate,
        args=arguments,
        prog="python -m jaxvae evaluate",
        use_underscores=True,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    command.options.check()
    # Importing JAX takes seconds: what can be said without it comes first.
    folder = Workdir(command.run)
    config = folder.previous()
    if config is None or not folder.checkpoints.is_dir():
        raise UserError(f"{folder.path} holds no run with a checkpoint: name the folder of a run")
    from jaxvae.data.load import begin_loading

    begin_loading(config.data)
    from jaxvae.analysis.evaluate import FLAGS, as_json, evaluate

    def say(line: str) -> None:
        print(line, flush=True)

    options = {name: getattr(command.options, name) for name in FLAGS}
    found = evaluate(command.run, say=None if command.json else say, **options)
    if command.json:
        print(json.dumps(as_json(found), indent=2))
