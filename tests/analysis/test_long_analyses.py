"""Annealing, its sandwich, the gap split and likelihood regret of a run, by the command."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxvae
from jaxvae.analysis.context import Progress
from jaxvae.analysis.one_image.refined_posterior import Refinement, gap_split
from jaxvae.commands.evaluate import main
from jaxvae.config import MLP, Config, Data, Eval, Model, Train
from jaxvae.data.load import load
from jaxvae.runs.fit import fit


def test_progress_is_said_now_and_then(monkeypatch):
    times, said = iter([0.0, 4.0, 12.0, 13.0, 240.0, 300.0]), []
    monkeypatch.setattr("jaxvae.analysis.context.time.monotonic", lambda: next(times))
    progress = Progress(said.append, "Annealing", 100)
    for done in (5, 10, 11, 40, 100):
        progress.after(done)
    assert said == [
        "Annealing: 10 of 100 images; about 108 s left.".replace("108 s", "2 min"),
        "Annealing: 40 of 100 images; about 6 min left.",
    ]


@pytest.mark.slow
def test_every_long_analysis_is_printed_written_and_of_the_images_that_were_asked_for(
    tmp_path, digits, capsys
):
    config = Config(
        data=Data(name=digits),
        model=Model(latent_dim=3, architecture=MLP(hidden=(16,))),
        train=Train(steps=300, batch_size=50, eval_every=300, checkpoint_every=300, devices=1),
        eval=Eval(importance_samples=64, batch_size=25, grid=2),
    )
    fit(config, tmp_path / "run")
    capsys.readouterr()
    flags = "--images 40 --ais --ais_temperatures 60 --ais_chains 4 --sandwich --gap --gap_steps 200 --regret"
    command = ["evaluate", str(tmp_path / "run"), *flags.split(), "--scores", str(tmp_path / "s.npz")]
    assert main(command) == 0
    out = capsys.readouterr().out
    for line in (
        "Annealed importance sampling, 60 temperatures, 4 chains from q(z|x), 40 images, nats:",
        "Both sides of log p(x), 60 temperatures, 4 chains from q(z|x), 40 images that the model made, nats:",
        "The gap of 40 images, q optimised for each by 200 steps of Adam, nats:",
        "Likelihood regret, L[q*] - L[q], of 40 images, nats:",
    ):
        assert line in out
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    each = np.load(tmp_path / "s.npz")
    ais, sandwich, gap, regret = (found[name] for name in ("ais", "sandwich", "gap", "regret"))
    assert ais["nll"] == pytest.approx(-each["ais_log_likelihood"].mean())
    assert ais["nll_stderr"] == pytest.approx(each["ais_log_likelihood"].std(ddof=1) / 40**0.5)
    assert ais["below_iw"] == pytest.approx(found["test"]["nll"] - ais["nll"], abs=1e-4)
    assert ais["nll_draw_stderr"] == pytest.approx(np.sqrt((each["ais_stderr"] ** 2).sum()) / 40, rel=1e-5)
    # Three latents are few: all ways to log p(x) agree.
    assert abs(ais["nll"] - found["test"]["nll"]) < 0.2
    assert abs(ais["nll"] - gap["nll"]) < 0.2
    width = each["simulated_upper"] - each["simulated_lower"]
    assert sandwich["width"] == pytest.approx(width.mean())
    assert abs(sandwich["width"]) < 0.2
    whole = each["approximation_gap"] + each["amortisation_gap"]
    assert gap["gap"] == pytest.approx(whole.mean(), abs=1e-4)
    assert gap["approximation_gap_by_ais"] == pytest.approx(
        (each["ais_log_likelihood"] - each["refined_elbo"]).mean(), abs=1e-5
    )
    assert gap["amortisation_gap"] > 0
    assert gap["amortisation_gap_draw_stderr"] < 0.1 * gap["amortisation_gap"]
    np.testing.assert_array_equal(each["likelihood_regret"], each["amortisation_gap"])
    assert regret["largest"] == np.argsort(-each["likelihood_regret"])[:5].tolist()
    assert {len(values) for values in each.values() if values.ndim} == {40}
    # Other images do not change those of an image, nor does their number.
    fewer = jaxvae.evaluate(tmp_path / "run", images=5, ais=True, ais_temperatures=60, ais_chains=4)
    np.testing.assert_allclose(
        fewer["ais"]["of_each_image"]["ais_log_likelihood"], each["ais_log_likelihood"][:5], atol=0.02
    )
    prior = jaxvae.evaluate(
        tmp_path / "run", images=40, ais=True, ais_start="prior", ais_temperatures=300, ais_chains=8
    )
    assert abs(prior["ais"]["nll"] - ais["nll"]) < 0.5


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--ais_temperatures 0", "--ais_temperatures 0 cannot work: it must be 1 or more"),
        ("--ais_chains 0", "--ais_chains 0 cannot work: it must be 1 or more"),
        ("--gap_steps 0", "--gap_steps 0 cannot work: it must be 1 or more"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, capsys, flags, says):
    assert main(["evaluate", str(tmp_path), *flags.split()]) == 2
    assert says in capsys.readouterr().err


def auroc(usual, strange):
    """The probability that a strange image has the larger score."""
    ranks = stats.rankdata(np.concatenate([usual, strange]))[len(usual) :]
    return (ranks.sum() - len(strange) * (len(strange) + 1) / 2) / (len(usual) * len(strange))


@pytest.mark.slow
def test_likelihood_regret_ranks_strange_images_above_held_out_digits(tmp_path):
    config = Config(
        data=Data(binarization="threshold"),
        model=Model(latent_dim=16, architecture=MLP(hidden=(200,))),
        train=Train(steps=3000, batch_size=100, eval_every=3000, checkpoint_every=3000, devices=1),
        eval=Eval(importance_samples=8, batch_size=100, grid=2),
    )
    fit(config, tmp_path / "run")
    model = jaxvae.load_model(tmp_path / "run")
    digits = (load(Data()).test[:60] > 127).astype(np.float32)
    rng = np.random.default_rng(0)
    squares = np.zeros_like(digits)
    for image, (top, left, height, width) in zip(squares, rng.integers(4, 14, (60, 4)), strict=True):
        image[top : top + height, left : left + width] = 1
    strange = {
        "noise": rng.integers(0, 2, digits.shape).astype(np.float32),
        "upside down": digits[:, ::-1],
        "turned": digits.swapaxes(1, 2),
        "inverted": 1 - digits,
        "squares": squares,
    }

    @jax.jit
    def regrets(images):
        def one(x, number):
            key, scores = (jax.random.fold_in(jax.random.key(i), number) for i in (0, 1))
            return gap_split(model, x, key, scores, Refinement(steps=200, samples=64)).likelihood_regret

        return jax.vmap(one)(images, jnp.arange(len(images)))

    usual = np.asarray(regrets(jnp.asarray(digits)))
    found = {name: auroc(usual, np.asarray(regrets(jnp.asarray(images)))) for name, images in strange.items()}
    print(found)
    assert found["noise"] > 0.95
    assert found["inverted"] > 0.95
    assert found["squares"] > 0.8
    assert found["turned"] > 0.75
    assert found["upside down"] > 0.6
