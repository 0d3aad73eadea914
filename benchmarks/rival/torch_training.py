"""How fast is PyTorch: as it is, compiled, and with a whole step in a CUDA graph?"""

# pyright: reportMissingImports=false

import torch
from torch.nn import functional

from benchmarks.rival.setting import BETA1, BETA2, EPSILON, LEARNING_RATE, Setting, Unavailable
from benchmarks.rival.torch_networks import Decoder, Encoder


class Eager:
    """Modules, the images in memory, the fused Adam, and no word to the host between steps."""

    def __init__(self, setting: Setting):
        self._device = _device(setting)
        self.longest_call = setting.epoch
        self._setting = setting
        pixels = torch.tensor(setting.images.reshape(len(setting.images), -1))
        self._images = pixels.to(self._device).float() / 255
        self._encoder, self._decoder = Encoder(setting).to(self._device), Decoder(setting).to(self._device)
        if self._device.type == "cuda":
            # What JAX multiplies with by default: TF32. Convolutions have it anyway.
            torch.set_float32_matmul_precision("high")
            # PyTorch's own advice for convolutions; on a CPU it makes no difference.
            torch.backends.cudnn.benchmark = True
            self._encoder.to(memory_format=torch.channels_last)
            self._decoder.to(memory_format=torch.channels_last)
        self._weights = [*self._encoder.parameters(), *self._decoder.parameters()]
        self._optimizer = _adam(self._weights)
        self._rows = iter(())

    def train(self, steps: int) -> None:
        """One step after the other."""
        for _ in range(steps):
            self._step(self._next_rows())

    def wait(self) -> None:
        """Returns when the device is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def losses(self, x, noise) -> list[float]:
        """Of given batches and noise."""
        x, noise = torch.tensor(x, device=self._device), torch.tensor(noise, device=self._device)
        return [float(self._update(self._loss(*given))) for given in zip(x, noise, strict=True)]

    def _next_rows(self):
        rows = next(self._rows, None)
        if rows is None:
            order = torch.randperm(len(self._images), device=self._device)
            size = self._setting.batch_size
            self._rows = iter(order[: self._setting.epoch * size].split(size))
            rows = next(self._rows)
        return rows

    def _step(self, rows) -> None:
        self._update(self._loss_of_rows(rows))

    def _loss_of_rows(self, rows):
        return self._loss(*self._draw(rows))

    def _draw(self, rows):
        x = torch.bernoulli(self._images.index_select(0, rows))
        return x, torch.randn(len(rows), self._setting.model.latent_dim, device=self._device)

    def _loss(self, x, noise):
        low = self._setting.precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=low):
            mean, log_scale = self._encoder(x)
            logits = self._decoder(mean + log_scale.exp() * noise)
        distortion = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        rate = 0.5 * (mean**2 + (2 * log_scale).exp() - 1 - 2 * log_scale).sum()
        return (distortion + rate) / len(x)

    def _update(self, loss):
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return loss.detach()


class Compiled(Eager):
    """Binarisation, noise, loss and its gradient compiled as one; the fused Adam is one call already.

    On a CPU, neither compiling the step with the optimizer in it nor ``mode="max-autotune"`` was faster.
    """

    def __init__(self, setting: Setting):
        super().__init__(setting)
        self._compiled_loss = torch.compile(super()._loss)
        self._compiled_loss_of_rows = torch.compile(super()._loss_of_rows)

    def _loss(self, x, noise):
        return self._compiled_loss(x, noise)

    def _loss_of_rows(self, rows):
        return self._compiled_loss_of_rows(rows)


class CudaGraphs(Compiled):
    """The compiled step, Adam included, recorded once as a CUDA graph and replayed."""

    def __init__(self, setting: Setting):
        if setting.platform != "gpu":
            raise Unavailable("CUDA graphs need a CUDA device")
        super().__init__(setting)
        self._optimizer = _adam(self._weights, capturable=True)
        self._graph = torch.cuda.CUDAGraph()
        self._recorded = False
        self._recorded_rows = torch.zeros(setting.batch_size, dtype=torch.int64, device=self._device)

    def _step(self, rows) -> None:
        self._recorded_rows.copy_(rows)
        if not self._recorded:
            self._record()
        self._graph.replay()

    def _record(self) -> None:
        # Compilation, workspaces and Adam's state must come before: a few steps beside the main stream.
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):
                super()._step(self._recorded_rows)
        torch.cuda.current_stream().wait_stream(beside)
        with torch.cuda.graph(self._graph):
            super()._step(self._recorded_rows)
        self._recorded = True


def _adam(weights, **options):
    return torch.optim.Adam(
        weights, lr=LEARNING_RATE, betas=(BETA1, BETA2), eps=EPSILON, fused=True, **options
    )


def _device(setting: Setting) -> torch.device:
    if setting.platform not in ("cpu", "gpu"):
        raise Unavailable(f"this PyTorch does not run on a {setting.platform}")
    if setting.platform == "gpu" and not torch.cuda.is_available():
        raise Unavailable("this PyTorch finds no CUDA device")
    return torch.device("cuda" if setting.platform == "gpu" else "cpu")
