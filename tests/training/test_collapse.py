"""A collapse is said once when it happens, with what this configuration can try."""

import dataclasses
from typing import Any

import pytest

from jaxvae.config import ELBO, IWAE, Adam, Config, Data, Gaussian, Ladder, Model, Train, TwoLayers
from jaxvae.config.nested import updated
from jaxvae.config.validation import validate
from jaxvae.runs.fit import fit
from jaxvae.training.collapse import CollapseWatch, collapsed, warning

USED = {"active_units": 3, "rate": 20.0}
UNUSED = {"active_units": 0, "rate": 0.3}


def test_it_is_said_when_it_begins_and_when_it_ends_and_not_between():
    watch = CollapseWatch(Config(optimizer=Adam(warmup_steps=0)))
    tests = [USED, UNUSED, UNUSED, USED, USED, UNUSED]
    said: list[Any] = [watch.line(step, test) for step, test in enumerate(tests)]
    assert [line is not None for line in said] == [False, True, False, True, False, True]
    assert said[1].startswith("Warning: at step 1 the posterior has collapsed onto the prior: none of the 40")
    assert "no longer collapsed" in said[3]


def test_what_is_not_learned_yet_has_not_collapsed():
    config = Config(optimizer=Adam(warmup_steps=100))
    assert warning(config, 99, UNUSED) is None
    assert warning(config, 100, UNUSED) is not None


def test_it_is_no_active_unit_or_a_rate_below_a_hundredth_of_a_nat_for_each_latent():
    assert collapsed(Config(), {"active_units": 1, "rate": 0.41}) is None
    said = collapsed(Config(), {"active_units": 1, "rate": 0.39})
    assert said == "the rate is 0.39 nats, less than 0.01 for each of 40 latents"
    assert collapsed(Config(), {"active_units": None, "rate": 0.41}) is None
    two = Config(model=Model(architecture=TwoLayers(lower_latents=60)))
    assert collapsed(two, {"active_units": 1, "rate": 0.99}) is not None
    assert collapsed(two, {"active_units": 1, "rate": 1.01}) is None
    # Most positions of a map may be unused.
    ladder = Config(model=Model(2, Ladder(groups="7x2 14x3")))
    assert collapsed(ladder, {"active_units": 1, "rate": 0.09}) is not None
    assert collapsed(ladder, {"active_units": 1, "rate": 0.11}) is None


@pytest.mark.parametrize(
    ("config", "tried", "not_tried"),
    [
        (Config(), ["beta_warmup_steps 2500", "free_bits", "learning_rate"], ["beta 1", "sigma"]),
        (Config(objective=ELBO(beta=4.0, free_bits=0.2)), ["beta 1"], ["free_bits"]),
        (Config(objective=ELBO(beta_warmup_steps=6000)), ["free_bits"], ["beta_warmup_steps"]),
        (Config(objective=IWAE()), ["learning_rate"], ["beta", "free_bits"]),
        (Config(train=Train(reduction="fixed")), ["beta_warmup_steps"], ["free_bits"]),
        (
            Config(data=Data(binarization="none"), model=Model(likelihood=Gaussian(sigma=0.5))),
            ["learn_sigma True"],
            [],
        ),
        (
            Config(data=Data(binarization="none"), model=Model(likelihood=Gaussian(learn_sigma=True))),
            [],
            ["sigma"],
        ),
    ],
)
def test_what_to_try_fits_the_configuration(config, tried, not_tried):
    said = warning(config, 10_000, UNUSED)
    assert said is not None
    flags = said.split("each in a new run: ")[1]
    for text in tried:
        assert text in flags, text
    for text in not_tried:
        assert text not in flags, text
    # Each is a flag that this configuration takes.
    for remedy in flags.split("; "):
        name, value = remedy.removeprefix("--").split()
        section, field = name.rsplit(".", 1)
        number = value == "True" or (float(value) if "." in value else int(value))
        validate(updated(config, {f"{section}.{field}": number}))


def test_a_run_that_collapses_says_so_once_while_it_trains_and_at_its_end(tmp_path, small_config, capsys):
    config = dataclasses.replace(
        small_config,
        objective=ELBO(beta=1e3),
        optimizer=dataclasses.replace(small_config.optimizer, learning_rate=0.01, warmup_steps=0),
    )
    summary = fit(config, tmp_path)
    assert summary["test"]["active_units"] == 0
    out = capsys.readouterr().out
    assert out.count("Warning: at step 8 the posterior has collapsed") == 1
    assert out.count("the posterior has collapsed") == 2
    assert out.index("effective samples") < out.rindex("the posterior has collapsed")
    assert "--objective.beta 1;" in out
