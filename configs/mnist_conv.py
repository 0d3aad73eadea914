"""python train.py --config mnist_conv

Dynamically binarised MNIST, two convolutions of 32 and 64 channels and a dense layer of 256, 40 latents:
a test NLL of 86.81 nats (512 importance samples) in 5 minutes on two CPU cores, two of which are the
evaluation.
"""

from jaxvae.config import ELBO, Adam, Config, Conv, Model, Train

config = Config(
    model=Model(latent_dim=40, architecture=Conv(channels=(32, 64), hidden=(256,), activation="gelu")),
    objective=ELBO(beta_warmup_steps=2_400),
    optimizer=Adam(learning_rate=2e-3, beta2=0.99),
    train=Train(steps=8_000, eval_every=2_000),
)
