"""python train.py --config mnist_speedrun

The recipe of ``python -m benchmarks.time_to_nll``: dynamically binarised MNIST to a low NLL in little time.
"""

from jaxvae.config import Config, Model, Objective, Optimizer, Train

config = Config(
    model=Model(latent_dim=40, hidden=(400, 400), activation="silu"),
    objective=Objective(beta_warmup_steps=1_600),
    optimizer=Optimizer(learning_rate=4e-3, beta2=0.99),
    # No evaluation on the way.
    train=Train(steps=16_000, eval_every=16_000, checkpoint_every=16_000),
)
