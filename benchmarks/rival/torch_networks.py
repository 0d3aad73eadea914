"""What are the encoder and the decoder in PyTorch?"""

# pyright: reportMissingImports=false

import numpy as np
import torch
from torch import nn

from benchmarks.rival.setting import Setting

ACTIVATIONS = {"relu": nn.ReLU, "gelu": lambda: nn.GELU(approximate="tanh")}
LOG_SCALE_BOUND = 8.0


class Encoder(nn.Module):
    """Mean and bounded log-scale of q(z|x), from one last layer."""

    def __init__(self, setting: Setting):
        super().__init__()
        weights, activation = setting.encoder, ACTIVATIONS[setting.activation]
        layers: list[nn.Module] = []
        if weights.convolutions:
            layers.append(nn.Unflatten(1, _channels_first(setting.images.shape[1:])))
        for kernel, bias in weights.convolutions:
            inner, outer = kernel.shape[2:]
            layer = nn.Conv2d(inner, outer, 4, stride=2, padding=1)
            layers += [_filled(layer, kernel.transpose(3, 2, 0, 1), bias), activation()]
        if weights.convolutions:
            layers.append(nn.Flatten())
        dense = [(matrix, bias) for matrix, bias in weights.dense]
        if weights.convolutions:
            matrix, bias = dense[0]
            shape = _smallest(setting)
            dense[0] = matrix.reshape(-1, *shape).transpose(0, 3, 1, 2).reshape(matrix.shape), bias
        self.layers = nn.Sequential(*layers, *_dense(dense, activation))

    def forward(self, x):
        """From [batch, pixel]; both results are [batch, latent]."""
        mean, raw = self.layers(x).float().chunk(2, dim=1)
        return mean, LOG_SCALE_BOUND * torch.tanh(raw / LOG_SCALE_BOUND)


class Decoder(nn.Module):
    """Logits of the pixels."""

    def __init__(self, setting: Setting):
        super().__init__()
        weights, activation = setting.decoder, ACTIVATIONS[setting.activation]
        dense = [(matrix, bias) for matrix, bias in weights.dense]
        self.bias = None
        if not weights.convolutions:
            self.layers = nn.Sequential(*_dense(dense, activation))
            return
        shape = _smallest(setting)
        matrix, bias = dense[-1]
        rows = np.arange(len(bias)).reshape(shape).transpose(2, 0, 1).reshape(-1)
        dense[-1] = matrix[rows], bias[rows]
        layers: list[nn.Module] = [*_dense(dense, activation), nn.Unflatten(1, _channels_first(shape))]
        for kernel, bias in weights.convolutions:
            inner, outer = kernel.shape[2:]
            of_pixels = bias.ndim > 1
            layer = nn.ConvTranspose2d(outer, inner, 4, stride=2, padding=1, bias=not of_pixels)
            layers += [
                activation(),
                _filled(layer, kernel.transpose(3, 2, 0, 1), None if of_pixels else bias),
            ]
            if of_pixels:
                self.bias = nn.Parameter(torch.tensor(bias.transpose(2, 0, 1).copy()))
        self.layers = nn.Sequential(*layers)

    def forward(self, z):
        """From [batch, latent] to [batch, pixel]."""
        logits = self.layers(z).float()
        if self.bias is not None:
            logits = logits + self.bias
        return logits.flatten(1)


def _dense(layers, activation) -> list[nn.Module]:
    made: list[nn.Module] = []
    for matrix, bias in layers:
        made += [activation()] if made else []
        made.append(_filled(nn.Linear(matrix.shape[1], matrix.shape[0]), matrix, bias))
    return made


def _filled(layer, weight: np.ndarray, bias: np.ndarray | None):
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight.copy()))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


def _channels_first(shape: tuple[int, ...]) -> tuple[int, int, int]:
    height, width, channel = shape
    return channel, height, width


def _smallest(setting: Setting) -> tuple[int, int, int]:
    """Height, width and channels between the convolutions and the dense layers."""
    height, width = (n // 2 ** len(setting.encoder.convolutions) for n in setting.images.shape[1:3])
    return height, width, setting.encoder.convolutions[-1][0].shape[-1]
