"""python train.py --config linear

Probabilistic principal component analysis (Tipping and Bishop 1999) as a VAE: linear encoder and
decoder, Gaussian likelihood with one learned sigma, 10 latents, pixels / 255. Its optimum is known in
closed form, so this run tests the trainer from end to end.
"""

from jaxvae.config import Config, Data, Model, Optimizer, Train

config = Config(
    data=Data(binarization="none"),
    model=Model(latent_dim=10, hidden=(), likelihood="gaussian", sigma=0.2, learn_sigma=True),
    optimizer=Optimizer(learning_rate=3e-3),
    train=Train(steps=6_000, batch_size=512, log_every=200, eval_every=2_000, checkpoint_every=2_000),
)
