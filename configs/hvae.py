"""python train.py --config hvae

Dynamically binarised MNIST, a ladder for an accelerator, after DVP-VAE (Kuzina and Tomczak 2024, arXiv
2412.01373): four groups of latents on maps of 7x7 and four on maps of 14x14, one channel each, aggregated.
440 MFLOP an image in training, 600,000 weights. Not trained to its end yet.
"""

from jaxvae.config import ELBO, Adamax, Config, Ladder, Model, Train

config = Config(
    model=Model(
        latent_dim=1,
        architecture=Ladder(groups="7x4 14x4", channels=32, blocks=3, bottleneck=1.0, aggregate=True),
    ),
    objective=ELBO(beta_warmup_steps=7_200, beta_balance=True),
    optimizer=Adamax(
        learning_rate=1e-2, warmup_steps=480, clip_norm=2_000.0, skip_norm=10.0, ema_decay=0.999
    ),
    train=Train(steps=72_000, batch_size=250, eval_every=12_000),
)
