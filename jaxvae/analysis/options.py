"""What can be asked of an evaluation? Each field is a flag of ``python -m jaxvae evaluate``, and the line
under it is its help. This module does not import JAX."""

import dataclasses
from typing import Annotated, Literal, get_args

import tyro

from jaxvae.config.ranges import MOST
from jaxvae.errors import UserError, printable
from jaxvae.system.paths import meant_path

Start = Literal["posterior", "prior"]
_LEAST = {
    **dict.fromkeys(("importance_samples", "images", "step"), 1),
    **dict.fromkeys(("ais_temperatures", "ais_chains", "gap_steps"), 1),
}
"""The least value of each number."""
_OF = {
    ("ais", "sandwich"): ("ais_temperatures", "ais_chains", "ais_start"),
    ("gap", "regret"): ("gap_steps",),
}
"""Options that are of these analyses alone."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What an evaluation is to find out."""

    importance_samples: int | None = None
    """Samples per image in the importance-weighted bound; None: the run's own eval.importance_samples. Memory
    does not grow with them."""
    images: int | None = None
    """Only the first so many test images; None: all."""
    step: int | None = None
    """The checkpoint of this step; None: the best by its score on the run's validation images, which is the
    one that the run tests, or without such images the newest good one."""
    scores: Annotated[str | None, tyro.conf.arg(metavar="{None}|FILE.npz")] = None
    """Where to write the scores of every image; None: nowhere."""
    latents: bool = False
    """The rate of each latent, which latents are active, and how many have collapsed."""
    groups: Annotated[str | None, tyro.conf.arg(metavar="{None}|FOLDER")] = None
    """Of a ladder: the rate of each group, and where to write pictures of it over training, of samples at
    several temperatures, and of what the uppermost groups say."""
    mutual_information: bool = False
    """How much latents say about images: I(x; z), and how far the aggregate posterior is from the prior."""
    ex_post: Literal["mixture", "coupling"] | None = None
    """A different model beside this one: the prior replaced by a density that is fitted now, to the aggregate
    posterior of the training images. mixture: 10 Gaussians. coupling: a flow."""
    ex_post_picture: Annotated[str | None, tyro.conf.arg(metavar="{None}|FILE.png")] = None
    """Where to write samples of this model beside those of the different one."""
    ais: bool = False
    """NLL by annealed importance sampling. Expensive: see --images."""
    ais_temperatures: int = 500
    """Of --ais and --sandwich: the more, the nearer to log p(x). Time grows with them."""
    ais_chains: int = 16
    """Of --ais and --sandwich: chains of an image that count."""
    ais_start: Start = "posterior"
    """Of --ais and --sandwich: chains start at draws from q(z|x), or from p(z)."""
    sandwich: bool = False
    """By how much --ais errs at most: log p(x) from both sides, of as many images that the model makes."""
    gap: bool = False
    """How much of the gap is q's family's, and how much the encoder's: q is optimised for each image."""
    gap_steps: int = 500
    """Of --gap and --regret: steps of Adam for each image."""
    regret: bool = False
    """Likelihood regret of each image, a score of how unlike those of training it is."""

    def check(self) -> None:
        """Raises UserError for a value that cannot work, whatever the run is."""
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
                raise UserError(f"--{name} {printable(value)} cannot work: it must be {least} or more")
        for needed, names in _OF.items():
            asked = any(getattr(self, name) for name in needed)
            for name in names:
                if not asked and getattr(self, name) != getattr(type(self), name):
                    raise UserError(f"--{name} does nothing without {' or '.join(f'--{n}' for n in needed)}")
        if self.ais_start not in get_args(Start):
            raise UserError(f"--ais_start {printable(self.ais_start)}: it is {' or '.join(get_args(Start))}")
        if self.scores is not None and meant_path(self.scores, "--scores").suffix != ".npz":
            raise UserError(f"--scores {printable(self.scores)}: its name must end in .npz")
        if self.ex_post_picture is not None:
            if self.ex_post is None:
                raise UserError("--ex_post_picture does nothing without --ex_post mixture or coupling")
            if meant_path(self.ex_post_picture, "--ex_post_picture").suffix != ".png":
                raise UserError(
                    f"--ex_post_picture {printable(self.ex_post_picture)}: its name must end in .png"
                )
        if self.ex_post not in (None, "mixture", "coupling"):
            raise UserError(f"--ex_post {printable(self.ex_post)} cannot work: choose mixture or coupling")
