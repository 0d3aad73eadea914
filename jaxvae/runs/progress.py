"""What does a run print while it trains? Its progress bar and its lines on standard output."""

import math
import sys
from typing import Any

from tqdm import tqdm

from jaxvae.config.pixels import is_discrete
from jaxvae.data.load import Dataset
from jaxvae.data.placement import Places
from jaxvae.data.sources.amat import DRAW
from jaxvae.runs.goodput import PARTS


class Watcher:
    """A progress bar (on a terminal) and the lines above it; nothing if ``silent``."""

    def __init__(self, silent: bool = False):
        self._silent = silent
        self._bar: tqdm | None = None

    def say(self, line: str) -> None:
        """Prints one line on standard output, above the bar."""
        if self._silent:
            return
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def images(self, dataset: Dataset, places: Places) -> None:
        """Prints which images the run trains on, and where they are held."""
        height, width, channel = dataset.train.shape[1:]
        validates = "" if dataset.validation is None else f", {len(dataset.validation):,} to validate"
        chosen = f" ({dataset.chosen})" if validates else ""
        self.say(
            f"Images: {dataset.title}, {len(dataset.train):,} to train{validates}{chosen} and "
            f"{len(dataset.test):,} to test, {height}x{width}x{channel}, {dataset.nbytes / 1e6:,.1f} MB, "
            f"{places.describe()}."
        )
        if dataset.remarks:
            self.say(dataset.remarks)

    def start(self, step: int, steps: int) -> None:
        """Shows the bar, if standard error is a terminal."""
        hidden = True if self._silent else None
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=hidden, dynamic_ncols=True)

    def advance(self, steps: int) -> None:
        """Moves the bar by ``steps``."""
        if self._bar is not None:
            self._bar.update(steps)

    def training(self, line: dict[str, Any]) -> None:
        """Shows training metrics beside the bar."""
        if self._bar is not None:
            rate = f"{line['examples_per_second']:,.0f} examples/s"
            self._bar.set_postfix_str(f"ELBO {line['elbo']:.2f}, {rate}", refresh=False)

    def evaluation(self, step: int, test: dict[str, Any], split: str = "test") -> None:
        """Prints one line for an evaluation."""
        self.say(
            f"step {test.get('test_step', step):>7}  {split} ELBO {test['elbo']:.2f}  "
            f"rate {test['rate']:.2f}  distortion {test['distortion']:.2f}  NLL <= {test['nll']:.2f} "
            f"({test['importance_samples']} samples)"
            + (f"  active units {test['active_units']}" if test["active_units"] is not None else "")
        )

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def table(self, summary: dict[str, Any]) -> None:
        """Prints the final test results, in nats per image unless another unit is named."""
        throughput, device = summary["throughput"], summary["device"]
        self.say("\n" + "\n".join(scores_table(summary)))
        if (validation := summary.get("validation")) is not None:
            self.say(
                f"Validation, {images(validation['examples'])}: ELBO {with_error(validation, 'elbo')}, "
                f"NLL {with_error(validation, 'nll')}."
            )
        if throughput["examples_per_second"] is not None:
            self.say(
                f"Trained at {throughput['examples_per_second']:,.0f} examples/s on {device['count']} x "
                f"{device['kind']}; {throughput['train_seconds']:.0f} s, after "
                f"{throughput['compile_seconds']:.1f} s of compiling."
            )
        goodput = summary["goodput"]
        spent = ", ".join(
            f"{name.replace('_', ' ')} {goodput[name + '_seconds']:.1f}"
            for name in PARTS
            if name != "data_wait" or goodput["data_wait_seconds"]
        )
        self.say(f"Wall time {goodput['wall_seconds']:.1f} s: {spent}.")


def scores_table(summary: dict[str, Any]) -> list[str]:
    """The lines of a summary's scores: ``test``, at its ``test_step`` or ``step``, of the images that
    ``data`` describes."""
    test = summary["test"]
    samples = f"{test['importance_samples']} importance samples"
    rows = [
        ("ELBO", with_error(test, "elbo"), ""),
        ("  rate", f"{test['rate']:.3f}", "KL[q(z|x) || p(z)]"),
        *((f"    {key[5:].replace('_', ' ')}", f"{test[key]:.3f}", "") for key in test if LEVEL in key),
        ("  distortion", f"{test['distortion']:.3f}", "-E_q log p(x|z)"),
        ("NLL", with_error(test, "nll"), f"at most; {samples}"),
        ("  effective samples", f"{test['effective_samples']:.1f}", _believable(test)),
        ("gap", with_error(test, "gap"), "estimates KL[q(z|x) || p(z|x)]"),
        ("bits per dimension", f"{test['bits_per_dim']:.4f}", bits_of(summary["data"])),
    ]
    if test["active_units"] is not None:
        rows.append(("active units", f"{test['active_units']}", "latents whose mean varies"))
    for name in (name for name in test if name.startswith("sigma")):
        rows.append((name.replace("_", " "), f"{test[name]:.5f}", "of a pixel, given z"))
    step = summary.get("test_step", summary["step"])
    title = f"Test, step {step}, {images(test['examples'])}, {pixels(summary['data'])}"
    return [
        f"{title}, nats per image:",
        *(row(*each) for each in rows),
    ]


def row(name: str, value: str, remark: str) -> str:
    """A line of a table of scores."""
    return f"  {name:<20}{value:>20}   {remark}".rstrip()


LEVEL = "rate_level_"
"""What the rates of single levels are called, but for their numbers."""
BELIEVABLE = 10
"""With fewer effective samples, what the bias is estimated from is itself a few draws'."""


def _believable(test: dict[str, Any]) -> str:
    """What the effective samples say about the NLL."""
    if test["effective_samples"] >= BELIEVABLE:
        return f"of {test['importance_samples']}: the NLL is too high by about {test['nll_bias']:.3f}"
    return f"of {test['importance_samples']}: too few to say how far the NLL is too high"


def with_error(found: dict[str, Any], name: str) -> str:
    """A mean and its standard error, which that of a single image has not."""
    error = found[name + "_stderr"]
    return f"{found[name]:.3f}" + ("" if math.isnan(error) else f" +- {error:.3f}")


def images(count: int) -> str:
    """So many images, in words."""
    return f"{count} image{'s' * (count != 1)}"


def bits_of(data: dict[str, Any]) -> str:
    """What the bits per dimension are of, if not of binarised pixels: of the 8-bit image, which they bound,
    or of a density, which is no probability of it."""
    if not is_discrete(data["support"]) and data["dequantization"] == "none":
        return "of a density, not of the image"
    return "at most; of the 8-bit image" if data["binarization"] == "none" else ""


def pixels(data: dict[str, Any]) -> str:
    """How pixels were preprocessed, in words. Every likelihood depends on it."""
    if data["dequantization"] != "none":
        return "dequantised pixels / 256"
    if data["binarization"] != "none" and str(data.get("source")).startswith(DRAW):
        return DRAW
    return {
        "none": "pixels / 255",
        "threshold": "binarised by a threshold",
        "static": "statically binarised by this run's own draw",
        "dynamic": "dynamically binarised",
    }[data["binarization"]]
