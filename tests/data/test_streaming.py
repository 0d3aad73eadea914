"""Images that are read ahead: the same ones in the same order, so the same bits, wherever they come from."""

import sys
import threading
import time
import types
from concurrent.futures import Future

import jax
import numpy as np
import pytest

from jaxvae.config import Config, Conv, Gaussian, Train
from jaxvae.config.fields import Placement
from jaxvae.data import streaming
from jaxvae.data.load import Dataset, load
from jaxvae.data.placement import Places, choose_places
from jaxvae.data.streaming import ImageStream, TrainFeed
from jaxvae.errors import RunError, UserError
from jaxvae.runs.evaluation import Evaluator
from jaxvae.runs.fit import fit
from jaxvae.runs.replay import replay
from jaxvae.training.fused_steps import call_indices
from tests.runs.test_fit import lines, parameters, replace

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 5, 4, 3), np.uint8)


def state_bits(run, step):
    return {name: leaf.tobytes() for name, leaf in parameters(run, step).items()}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"data": {"binarization": "static"}}, marks=pytest.mark.slow),
        pytest.param(
            {
                "data": {"binarization": "none", "dequantization": "uniform", "horizontal_flips": True},
                "model": {"likelihood": Gaussian(learn_sigma=True)},
            },
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"model": {"architecture": Conv(channels=(4,))}, "train": {"devices": 4}}, marks=pytest.mark.slow
        ),
    ],
)
def test_streamed_and_resident_runs_have_the_same_bits(tmp_path, small_config, changes):
    config = replace(small_config, **changes)
    fit(replace(config, data={"placement": "resident"}), tmp_path / "resident")
    summary = fit(replace(config, data={"placement": "stream", "workers": 3}), tmp_path / "streamed")
    assert state_bits(tmp_path / "resident", 24) == state_bits(tmp_path / "streamed", 24)
    streamed = lines(tmp_path / "streamed")
    waits = [line.pop("data_wait") for line in streamed if line["split"] == "train"]
    assert streamed == lines(tmp_path / "resident")
    assert len(waits) == 6
    assert all(0 <= wait < 1 for wait in waits)
    assert 0 <= summary["throughput"]["data_wait"] < 1
    for picture in (tmp_path / "resident" / "images").iterdir():
        assert picture.read_bytes() == (tmp_path / "streamed" / "images" / picture.name).read_bytes()


def test_a_run_goes_on_in_either_way(tmp_path, small_config):
    half = replace(small_config, train={"steps": 12}, optimizer={"schedule": "constant"})
    whole = replace(half, train={"steps": 24})
    fit(replace(half, data={"placement": "resident"}), tmp_path / "resident-first")
    fit(replace(whole, data={"placement": "stream"}), tmp_path / "resident-first")
    fit(replace(half, data={"placement": "stream"}), tmp_path / "streamed-first")
    fit(replace(whole, data={"placement": "resident"}), tmp_path / "streamed-first")
    assert state_bits(tmp_path / "resident-first", 24) == state_bits(tmp_path / "streamed-first", 24)


@pytest.mark.slow
def test_calls_that_are_cut_shorter_for_large_images_have_the_same_bits(tmp_path, small_config, monkeypatch):
    fit(small_config, tmp_path / "resident")
    monkeypatch.setattr(streaming, "CHUNK_BYTES", 2 * 16 * 784)
    fit(replace(small_config, data={"placement": "stream"}), tmp_path / "streamed")
    assert state_bits(tmp_path / "resident", 24) == state_bits(tmp_path / "streamed", 24)
    said = replay(small_config, tmp_path / "resident", 21)
    assert said.startswith("step 21: every term is finite")
    assert replay(replace(small_config, data={"placement": "stream"}), tmp_path / "resident", 21) == said


def test_a_feed_brings_the_images_that_the_order_names(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    config, devices = Config(train=Train(steps=40, batch_size=8)), jax.devices()[:2]
    for images in (IMAGES, mapped):
        feed = TrainFeed(config, images, devices, start=10, stop=40, steps=5)
        for step in range(10, 40, 5):
            chunk = feed.images_for(step, None)
            assert chunk.shape == (2, 5, 4, 5, 4, 3)
            np.testing.assert_array_equal(chunk, IMAGES[call_indices(config, 60, step, 5, 2)])
        feed.close()


def test_a_feed_that_is_asked_out_of_order_refuses():
    config = Config(train=Train(steps=40, batch_size=8))
    feed = TrainFeed(config, IMAGES, jax.devices()[:1], start=0, stop=40, steps=5)
    with pytest.raises(AssertionError):
        feed.images_for(5, None)
    feed.close()


def test_without_grain_it_says_what_to_install_before_anything_is_written(
    tmp_path, small_config, monkeypatch
):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(UserError, match=r"streaming images needs Grain \(.*\): pip install grain"):
        fit(replace(small_config, data={"placement": "stream"}), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


class Gate:
    """Rows of chunks, of which those from the second on come when it is opened."""

    def __init__(self, is_open):
        self.asked, self.opened = [], threading.Event()
        if is_open:
            self.opened.set()

    def __call__(self, number):
        self.asked.append(number)
        if number:
            assert self.opened.wait(60)
        return np.zeros((1, 1, 1), int)


class Running:
    """Results that devices have not computed yet: waiting for them takes 5 seconds of ``clock``."""

    def __init__(self, clock, then):
        self.clock, self.then = clock, then

    def block_until_ready(self):
        self.clock.append(5.0)
        self.then()
        return self


@pytest.mark.parametrize("comes_while", ["the devices compute", "they have nothing to do"])
def test_waiting_is_what_the_devices_wait(monkeypatch, comes_while):
    clock, gate = [], Gate(is_open=False)
    monkeypatch.setattr(streaming, "time", types.SimpleNamespace(perf_counter=lambda: sum(clock)))
    stream = ImageStream(IMAGES, gate, 3, jax.devices()[:1], workers=1)
    wait_until(lambda: has_come(stream))
    stream.next(None)
    assert stream.waited == 0

    def read():
        if comes_while == "the devices compute":
            gate.opened.set()
            wait_until(lambda: has_come(stream))
        else:
            # 3 seconds after the devices are done, which the stream has seen by then.
            threading.Thread(target=later).start()

    def later():
        wait_until(lambda: seen)
        clock.append(3.0)
        gate.opened.set()

    seen = []
    exception = Future.exception

    def watched(future):
        if future is stream._next:
            seen.append(future)
        return exception(future)

    monkeypatch.setattr(Future, "exception", watched)
    stream.next(Running(clock, read))
    assert stream.waited == (0.0 if comes_while == "the devices compute" else 3.0)
    stream.close()


def has_come(stream):
    return stream._next is not None and stream._next.done()


def wait_until(holds):
    for _ in range(6000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


@pytest.mark.parametrize("workers", [1, 4])
def test_it_reads_ahead_but_not_the_whole_set(workers):
    rows = Gate(is_open=True)
    stream = ImageStream(IMAGES, rows, 1000, jax.devices()[:1], workers)
    stream.next(None)
    wait_until(lambda: len(rows.asked) > workers)
    time.sleep(0.2)
    assert len(rows.asked) <= workers + 5
    assert sorted(rows.asked) == list(range(len(rows.asked)))
    stream.close()
    time.sleep(0.2)
    assert len(rows.asked) <= 2 * workers + 6


def test_a_file_that_cannot_be_read_stops_the_run_and_names_it(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    config, device = Config(train=Train(steps=4000)), jax.devices()[:1]
    feed = TrainFeed(config, mapped, device, start=0, stop=4000, steps=5)
    feed.images_for(0, None)
    np.save(tmp_path / "b.npy", IMAGES)
    (tmp_path / "b.npy").rename(tmp_path / "a.npy")

    def go_on():
        for step in range(5, 4000, 5):
            feed.images_for(step, None)

    with pytest.raises(RunError, match=r"a\.npy was changed while the run read images from it"):
        go_on()
    feed.close()
    (tmp_path / "a.npy").unlink()
    with pytest.raises(RunError, match=r"a\.npy cannot be read"):
        TrainFeed(config, mapped, device, start=0, stop=40, steps=5)


@pytest.mark.parametrize("chunk", [10**9, 16 * 784 * 3, 1])
def test_streamed_scores_are_the_resident_ones(small_config, make_vae, monkeypatch, chunk):
    config = replace(small_config, eval={"batch_size": 16})
    model, images = make_vae(latent_dim=3, hidden=(16,)), load(config.data).test[:165]
    devices = jax.devices()[:4]
    resident = Evaluator(config, images, devices)
    monkeypatch.setattr(streaming, "CHUNK_BYTES", chunk)
    streamed = Evaluator(config, images, devices, streamed=True)
    scores = [each.dispatch(model, 3) for each in (resident, streamed)]
    assert len(scores[1]) == {10**9: 1, 16 * 784 * 3: 4, 1: 11}[chunk]
    assert resident.summarise(scores[0], 3) == streamed.summarise(scores[1], 3)


def test_places_by_size(monkeypatch):
    def places(train, test, placement: Placement = "auto"):
        dataset = Dataset(np.zeros((train, 1, 1, 1), np.uint8), np.zeros((test, 1, 1, 1), np.uint8))
        return choose_places(placement, dataset, jax.devices()[:2])[:2]

    # Two devices that share what the machine has.
    monkeypatch.setattr("jaxvae.data.placement.host_memory", lambda: 4000)
    assert places(600, 400) == (False, False)
    assert places(600, 401) == (False, True)
    assert places(1001, 1000) == (True, False)
    assert places(1001, 1001) == (True, True)
    assert places(10**5, 10**5, "resident") == (False, False)
    assert places(1, 1, "stream") == (True, True)


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (False, False, "on each device (1.0 GB would fit)"),
        (True, True, "streamed (1.0 GB would fit)"),
        (True, False, "the training images streamed (1.0 GB would fit), the test images on each device"),
        (False, True, "the training images on each device, the test images streamed (1.0 GB would fit)"),
    ],
)
def test_places_in_words(train, test, said):
    assert Places(train, test, 2 * 10**9).describe() == said


def test_a_set_that_does_not_fit_is_streamed_and_the_run_says_so(tmp_path, small_config, monkeypatch, capsys):
    monkeypatch.setattr("jaxvae.data.placement.host_memory", lambda: 750_000)
    fit(replace(small_config, eval={"batch_size": 100}), tmp_path / "run")
    assert "28x28x1, 2.0 MB, streamed (0.0 GB would fit)." in capsys.readouterr().out
    assert "data_wait" in lines(tmp_path / "run")[0]


def test_who_needs_neither_grain_nor_tfds_does_not_import_them(tmp_path):
    import subprocess
    from pathlib import Path

    program = (
        "import sys; from pathlib import Path; from jaxvae.commands.train import main; "
        "code = main(Path(sys.argv[1]), sys.argv[2].split()); "
        "print(code, {'grain', 'tensorflow_datasets', 'array_record'} & set(sys.modules))"
    )
    flags = (
        "--config mnist --train.steps 2 --model.architecture.hidden 4 --train.devices 1 "
        f"--eval.importance_samples 1 --workdir {tmp_path / 'run'}"
    )
    configs = str(Path(__file__).parents[2] / "configs")
    done = subprocess.check_output([sys.executable, "-c", program, configs, flags], text=True, cwd=tmp_path)
    assert done.splitlines()[-1] == "0 set()"
