"""python train.py --config fashion_mnist

Fashion-MNIST, of TensorFlow Datasets, dynamically binarised, with the networks of `mnist_conv`. Not run here
yet: the images are downloaded. Published VAEs with dense layers have test NLLs of 227 to 229 nats (arXiv
2004.04795), by a binarisation that may be another.
"""

from jaxvae.config import ELBO, Adam, Config, Conv, Data, Model, Train

config = Config(
    data=Data(name="fashion_mnist"),
    model=Model(latent_dim=40, architecture=Conv(channels=(32, 64), hidden=(256,), activation="gelu")),
    objective=ELBO(beta_warmup_steps=2_400),
    optimizer=Adam(learning_rate=2e-3, beta2=0.99),
    train=Train(steps=8_000, eval_every=2_000),
)
