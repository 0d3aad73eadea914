import jax
import numpy as np
import pytest

from benchmarks.experiments import MODELS, experiment, matrix_flops, program_flops
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
