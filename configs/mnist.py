"""python train.py --config mnist

Dynamically binarised MNIST, two hidden layers, 40 latents: a test NLL of 87.03 nats (512 importance
samples) in 100 seconds on two CPU cores.
"""

from jaxvae.config import ELBO, MLP, Adam, Config, Model, Train

config = Config(
    model=Model(latent_dim=40, architecture=MLP(hidden=(400, 400), activation="silu")),
    objective=ELBO(beta_warmup_steps=2_400),
    optimizer=Adam(learning_rate=4e-3, beta2=0.99),
    train=Train(steps=24_000, eval_every=4_000),
)
