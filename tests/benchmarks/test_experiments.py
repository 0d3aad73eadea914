import jax
import numpy as np
import pytest

from benchmarks.experiments import MODELS, experiment, matrix_flops, program_flops
from jaxvae.config import Config, Ladder, Model
from jaxvae.training.fused_steps import TrainCall
from jaxvae.training.state import state_shapes


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(28, 28, 1), (11, 6, 3)])
def test_flops_by_formula_are_those_in_the_program(name, shape):
    config, images = experiment(name, 4), np.zeros((9, *shape), np.uint8)
    state = state_shapes(config, shape)
    texts = []

    def keep(mapped, devices, *arguments):
        texts.append(mapped.lower(*arguments).as_text())
        return mapped

    TrainCall(config, images, jax.devices()[:1], state, 3, keep)
    assert program_flops(texts[0]) == 4 * matrix_flops(config, shape)


def test_a_ladders_flops_are_those_of_its_kernels():
    architecture = Ladder(groups="2x1 3x2", channels=5, blocks=2, bottleneck=0.6)
    config = Config(model=Model(latent_dim=2, architecture=architecture))

    def bottleneck(pixels, outputs, size):
        return pixels * (5 * 3 + 2 * size**2 * 3 * 3 + 3 * outputs)

    # Multiplications forwards, by hand. 6 x 6 pixels to 3 x 3 and back, by kernels of 4 x 4.
    first, last = 9 * 16 * 1 * 5, 9 * 16 * 5 * 1
    encoder = 2 * bottleneck(9, 5, 3) + 2 * bottleneck(4, 5, 1)
    top = bottleneck(4, 4, 1) + 4 * 2 * 5 + bottleneck(4, 5, 1)  # q, latents, block
    below = bottleneck(9, 4 + 5, 3) + bottleneck(9, 4, 3) + 9 * 2 * 5 + bottleneck(9, 5, 3)
    forwards = first + encoder + top + 2 * below + last
    assert matrix_flops(config, (6, 6, 1)) == 6 * forwards - 2 * first
