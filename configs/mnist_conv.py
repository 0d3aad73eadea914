"""python train.py --config mnist_conv

Dynamically binarised MNIST, two convolutions of 32 and 64 channels and a dense layer of 256, 40 latents:
a test NLL of 86.81 nats (512 importance samples) in 5 minutes on two CPU cores, two of which are the
evaluation.
"""

from jaxvae.config import Config, Model, Objective, Optimizer, Train

config = Config(
    model=Model(architecture="conv", latent_dim=40, channels=(32, 64), hidden=(256,), activation="gelu"),
    objective=Objective(beta_warmup_steps=2_400),
    optimizer=Optimizer(learning_rate=2e-3, beta2=0.99),
    train=Train(steps=8_000, eval_every=2_000),
)
