"""python train.py --config hvae_cifar10

CIFAR-10, of TensorFlow Datasets: a ladder of 20 groups with 8 latents at each position of maps from 4x4 to
32x32, and for RGB pixels a mixture of discretised logistics, so that the NLL is in bits per dimension of the
images as they are. For an accelerator: 4,200 MFLOP an image in training, 2.3 million weights. Not trained
yet.
"""

from jaxvae.config import ELBO, AdamW, Config, Data, Eval, Ladder, LogisticMixture, Model, Train

config = Config(
    data=Data(name="cifar10", binarization="none", horizontal_flips=True),
    model=Model(
        latent_dim=8,
        architecture=Ladder(
            groups="4x4 8x6 16x6 32x4", channels=128, blocks=3, bottleneck=0.25, activation="gelu"
        ),
        likelihood=LogisticMixture(),
    ),
    objective=ELBO(beta_warmup_steps=40_000, beta_balance=True),
    optimizer=AdamW(
        learning_rate=4e-4,
        beta2=0.9,
        weight_decay=0.01,
        clip_norm=10_000.0,
        skip_norm=10.0,
        ema_decay=0.999,
    ),
    train=Train(steps=400_000, batch_size=64, eval_every=40_000, checkpoint_every=5_000),
    eval=Eval(importance_samples=64, batch_size=100),
)
