"""How fast is the trainer of Pythae, a library of many kinds of autoencoders?"""

# pyright: reportMissingImports=false

import tempfile

import torch
from pythae.data.datasets import BaseDataset, DatasetOutput, collate_dataset_output
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch.utils.data import DataLoader

from benchmarks.rival import torch_networks
from benchmarks.rival.setting import BETA1, BETA2, EPSILON, LEARNING_RATE, Setting, Unavailable


class Encoder(BaseEncoder):
    """Pythae wants the log of the variance."""

    def __init__(self, setting: Setting):
        super().__init__()
        self.network = torch_networks.Encoder(setting)

    def forward(self, x):
        """From [batch, pixel]."""
        mean, log_scale = self.network(x)
        return ModelOutput(embedding=mean, log_covariance=2 * log_scale)


class Decoder(BaseDecoder):
    """Pythae wants probabilities."""

    def __init__(self, setting: Setting):
        super().__init__()
        self.network = torch_networks.Decoder(setting)

    def forward(self, z):
        """From [batch, latent]."""
        return ModelOutput(reconstruction=torch.sigmoid(self.network(z)))


class GivenNoise(VAE):
    """Pythae's VAE, whose noise can be given."""

    noise: torch.Tensor | None = None

    def _sample_gauss(self, mu, std):
        if self.noise is None:
            return super()._sample_gauss(mu, std)
        return mu + self.noise * std, self.noise


class Binarised(BaseDataset):
    """Pythae has no dynamic binarisation; it asks its data sets for one image at a time, and this one draws
    it then."""

    def __getitem__(self, index):
        return DatasetOutput(data=torch.bernoulli(self.data[index]), labels=self.labels[index])


class Pythae:
    """What ``BaseTrainer.train`` does in an epoch, ``train_step``, with its own loader and callbacks."""

    def __init__(self, setting: Setting):
        if setting.precision != "float32":
            raise Unavailable("its trainer does not compute a Bernoulli likelihood in low precision")
        if setting.platform not in ("cpu", "gpu"):
            raise Unavailable(f"this PyTorch does not run on a {setting.platform}")
        self.longest_call = setting.epoch
        self._setting, self._epoch = setting, 0
        self._folder = tempfile.TemporaryDirectory()
        self._pixels = torch.tensor(setting.images.reshape(len(setting.images), -1)) / 255
        pixels = self._pixels.shape[1:]
        config = VAEConfig(tuple(pixels), setting.model.latent_dim, reconstruction_loss="bce")
        self._model = GivenNoise(config, Encoder(setting), Decoder(setting))
        self._trainer = BaseTrainer(
            self._model,
            self._first(1),
            training_config=BaseTrainerConfig(
                output_dir=self._folder.name,
                per_device_train_batch_size=setting.batch_size,
                learning_rate=LEARNING_RATE,
                optimizer_params={"betas": (BETA1, BETA2), "eps": EPSILON},
                no_cuda=setting.platform == "cpu",
            ),
        )
        self._trainer.prepare_training()

    def train(self, steps: int) -> None:
        """An epoch of so many batches, all of whose images are in the data set."""
        if len(self._trainer.train_loader) != steps:
            self._trainer.train_loader = self._trainer.get_train_dataloader(self._first(steps))
        self._epoch += 1
        self._trainer.train_step(self._epoch)

    def wait(self) -> None:
        """It asks for every step's loss, so nothing is left to wait for."""

    def losses(self, x, noise) -> list[float]:
        """Each of an epoch of one given batch."""
        found = []
        for data, eps in zip(torch.tensor(x), torch.tensor(noise), strict=True):
            self._model.noise = eps.to(self._trainer.device)
            batch = BaseDataset(data, torch.zeros(len(data)))
            self._trainer.train_loader = DataLoader(batch, len(data), collate_fn=collate_dataset_output)
            found.append(self._trainer.train_step(self._epoch))
        self._model.noise = None
        return found

    def _first(self, steps: int) -> Binarised:
        count = min(len(self._pixels), steps * self._setting.batch_size)
        return Binarised(self._pixels[:count], torch.zeros(count))
