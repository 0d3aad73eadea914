"""python train.py --config iwae_two_layers

The importance-weighted autoencoder of Burda et al. 2015 (arXiv 1509.00519) with two stochastic layers: 100
latents below 50, tanh layers of 200 and 100, K = 5, dynamically binarised MNIST. The paper's test NLL is
83.89 nats (5,000 importance samples). Not trained to its end here yet. The authors' schedule is as in `iwae`.
"""

from jaxvae.config import IWAE, Adam, Config, Eval, Model, Train, TwoLayers

config = Config(
    model=Model(latent_dim=50, architecture=TwoLayers()),
    objective=IWAE(samples=5, gradient="dreg"),
    optimizer=Adam(learning_rate=3e-3, epsilon=1e-4),
    train=Train(steps=420_000, batch_size=100, log_every=1_000, eval_every=60_000, checkpoint_every=5_000),
    eval=Eval(importance_samples=5_000),
)
