"""``python -m jaxvae data NAME``: what is in a set of images, before anything is trained on it?"""

import dataclasses
import re
import sys
from typing import Annotated

import tyro

from jaxvae.commands.flags import refuse_unfit_values
from jaxvae.config import Config, Data, Gaussian, Model
from jaxvae.config.validation import Origin, typed_fields, validate
from jaxvae.data.memory_needs import refuse_image_size
from jaxvae.errors import ReportedError, UserError, printable
from jaxvae.system import platforms
from jaxvae.system.console import check_output, open_console
from jaxvae.system.paths import meant_path
from jaxvae.system.signals import interruptible


@dataclasses.dataclass(frozen=True)
class Look:
    """Show a set of images before anything is trained on it: python -m jaxvae data NAME."""

    data: Data
    picture: Annotated[str | None, tyro.conf.arg(metavar="{None}|PATH")] = None
    """Where to write a contact sheet; None: data-NAME.png."""


def main(arguments: list[str] | None = None) -> int:
    """Runs ``python -m jaxvae data NAME``, which takes the flags of ``train.py`` that begin with --data;
    returns the exit code."""
    open_console()
    arguments = sys.argv[1:] if arguments is None else arguments
    wants_help = bool({"-h", "--help"} & set(arguments))
    if arguments[:1] != ["data"] or (len(arguments) < 2 and not wants_help):
        usage = (
            "usage: python -m jaxvae data NAME [--data.FIELD VALUE ...] [--picture PNG]\n"
            "       python -m jaxvae evaluate RUN [--help] [--FLAG VALUE ...]"
        )
        print(usage, file=sys.stdout if wants_help else sys.stderr)
        return 0 if wants_help else 2
    try:
        with interruptible():
            _describe(arguments[1:])
            check_output()
    except ReportedError as error:
        print(f"error: {error}" if error.exit_code < 128 else error, file=sys.stderr)
        return error.exit_code
    return 0


def _describe(arguments: list[str]) -> None:
    named = not arguments[0].startswith("-")
    name, flags = (arguments[0], arguments[1:]) if named else (Data().name, arguments)
    refuse_unfit_values({"data": Data}, flags)
    found = tyro.cli(
        Look,
        args=flags,
        default=Look(Data(name=name)),
        prog="python -m jaxvae data NAME",
        use_underscores=True,
        config=(tyro.conf.FlagConversionOff,),
    )
    platforms.check()
    # The options are checked for a model that accepts any pixels, because no model is named here.
    config = Config(data=found.data, model=Model(likelihood=Gaussian()))
    data = validate(config, Origin(flags=typed_fields(flags, config))).data
    if named and data.name != name:
        raise UserError(
            f"two sets are named, {printable(name)} and --data.name {printable(data.name)}: give one"
        )
    # The end of a long path is the most specific part.
    stem = re.sub(r"[^\w.-]+", "-", data.name)[-100:].strip("-.")
    picture = meant_path(f"data-{stem}.png" if found.picture is None else found.picture, "--picture")
    refuse_image_size(data)
    from jaxvae.data.image_grid import refuse_others_file

    refuse_others_file(picture)
    from jaxvae.data.load import begin_loading

    begin_loading(data)
    from jaxvae.data.summary import summarize

    print(summarize(data, picture))
