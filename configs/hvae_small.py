"""python train.py --config hvae_small

Dynamically binarised MNIST, a ladder that two CPU cores can train: two groups of latents on maps of 7x7 and
two on maps of 14x14 below them, two channels each, aggregated. 56 MFLOP an image in training, 82,000 weights.
Not trained to its end yet.
"""

from jaxvae.config import Adamax, Config, Eval, Ladder, Model, Train

config = Config(
    model=Model(latent_dim=2, architecture=Ladder(groups="7x2 14x2", channels=32, blocks=1, aggregate=True)),
    optimizer=Adamax(learning_rate=5e-3, warmup_steps=1_000, clip_norm=2_000.0, ema_decay=0.999),
    train=Train(steps=60_000, batch_size=50, eval_every=10_000),
    eval=Eval(importance_samples=64),
)
