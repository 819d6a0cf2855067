"""What the networks share: principal components of blocks of pictures, and networks freed of their norms."""

from typing import TypeVar

import torch
from diffusers.models.autoencoders.autoencoder_dc import ResBlock
from diffusers.models.normalization import RMSNorm
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional as F

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def principal_components(pictures: Tensor, side: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """pictures (N, 3, H, W) -> mean (3 side²,), orthonormal basis (count, 3 side²) and deviations (count,) of their blocks.

    The Karhunen-Loève transform: of all linear transforms of a block the one that keeps most in `count` numbers.
    """
    blocks = F.pixel_unshuffle(pictures, side).permute(0, 2, 3, 1).flatten(0, 2)
    mean = blocks.mean(0)
    covariance = (blocks - mean).T @ (blocks - mean) / len(blocks)
    variances, vectors = torch.linalg.eigh(covariance.double())
    return mean, vectors.T.flip(0)[:count].float(), variances.flip(0)[:count].clamp_min(1e-8).sqrt().float()


def norm_free(network: Network) -> Network:
    """Takes the norms out of a diffusers network, in place, and lets every residual branch begin at zero.

    A norm over the picture (GroupNorm) makes a tile decode otherwise than the picture; one over the channels of a place
    (RMSNorm) takes away how much there is to add there, which for a codec is most of the answer. Branches that begin at
    zero train without either (Fixup, Zhang et al., 2019).
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, (nn.GroupNorm, RMSNorm)):
                setattr(module, name, nn.Identity())
        if isinstance(module, ResBlock):
            module.norm_type = "none"
        if isinstance(module, (ResBlock, ResnetBlock2D)):
            for parameter in module.conv2.parameters():
                nn.init.zeros_(parameter)
    return network


def zeroed(layer: Network) -> Network:
    """The layer with all parameters zero: what it adds is nothing until it has learned something."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def bias_of(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> Tensor:
    """The bias of a layer that has one."""
    assert layer.bias is not None
    return layer.bias


def first_layer(layers: nn.Sequential) -> nn.Conv2d:
    """The convolution that a sequence begins with."""
    first = layers[0]
    assert isinstance(first, nn.Conv2d)
    return first
