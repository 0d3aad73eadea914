"""python train.py --config mnist

Dynamically binarised MNIST, two hidden layers, 40 latents: a test NLL of 87.03 nats (512 importance
samples) in 100 seconds on two CPU cores.
"""

from jaxvae.config import Config, Model, Objective, Optimizer, Train

config = Config(
    model=Model(latent_dim=40, hidden=(400, 400), activation="silu"),
    objective=Objective(beta_warmup_steps=2_400),
    optimizer=Optimizer(learning_rate=4e-3, beta2=0.99),
    train=Train(steps=24_000, eval_every=4_000),
)
