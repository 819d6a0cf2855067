"""Refinement of one picture's latents at the encoder, by gradient descent through the whole decoder.

The analysis sees a picture once, and has to guess what the decoder will make of its latents. Here the decoder is asked: each step decodes,
looks how far the picture is, in squared error, in LPIPS and in texture, and moves latent and hyper-latent against the gradient, at a price of
bits that holds their number (content-adaptive encoding: Campos et al., 2019; Yang, Bamler and Mandt, 2020, section 3). The file is as any
other, and a decoder needs to know nothing of it.
"""

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from .. import image
from ..errors import InputError
from ..metrics.perceptual import Lpips
from ..metrics.texture import Texture
from ..runtime.noise import standard_normals
from ..runtime.tiles import Progress, Tile, spans
from ..weights import Weights
from ..weights.to_torch import load_model, open_tower

# Prices at the anchor lambdas 2, 1, 0.5, 0.25 and 0.1: of the squared error in [-1, 1], of LPIPS on AlexNet, and of a bit per pixel to begin with. LPIPS as
# in the training of the embedded weights (gpu.toml). There squared error weighs 0.6, and a bit 1.6 to 4 times as much: at these the search would
# buy LPIPS with squared error, and fewer bits with both.
SQUARED = (29.0, 29.0, 35.0, 70.0, 190.0)
PERCEIVED = (8.0, 9.0, 10.5, 12.0, 14.0)
BITS = (35.0, 25.0, 18.0, 15.0, 14.0)
CLOSELY = (3.0, 3.0, 4.0, 5.0, 6.5)  # of LPIPS on VGG16 and of texture each, which are looked at in one place a step
PLACE, LEAST = 256, 64  # sides of it in pixels: as a rule, and that below which texture has no windows
AIM = 0.99  # of the bits of the start: what has a bit too many is not taken
HOLD = 30.0  # how steeply the price of a bit changes with their number, half of it for good
SPARED = 0.01  # below AIM, at which the price falls no faster: at first many are spared, and then they come back
RATE = (0.05, 0.05, 0.058, 0.066, 0.075)  # of the descent at the same anchors, in units of symbols
CORE, MARGIN = 24, 4  # of a window that is refined at once, in positions of y: 768 pixels, and what is around


class Refinement:
    """half: the networks run in bfloat16. InputError if the profile has parts that cannot be searched, WeightsError without LPIPS."""

    def __init__(self, weights: Weights, device: str = "cpu", half: bool = False) -> None:
        if weights.profile.bases or weights.profile.base_codes:
            raise InputError(f"pictures of profile {weights.profile.name} cannot be refined: leave --effort out")
        self.device, self.half = torch.device(device), half
        self.lpips, self.texture = (
            judge.to(self.device).requires_grad_(False).eval() for judge in (Lpips("alexnet"), Texture())
        )
        model = load_model(weights)
        model.prior.price(weights.tensors["prior.tables"])
        model = model.to(self.device).to(memory_format=torch.channels_last)
        if weights.profile.decoder_semantics:
            open_tower(model)
        self.model, self.profile = model.requires_grad_(False).eval(), weights.profile

    def __call__(
        self,
        picture: Image.Image,
        y: np.ndarray,
        hyper: np.ndarray,
        tokens: np.ndarray,
        quality: int,
        steps: int,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """An RGB picture, its y (1, C_y, h, w), hyper (1, C_h, hh, hw) and tokens (1, K) -> better y and hyper for this quality.

        Large pictures are refined window by window, each beside neighbours that stand still.
        """
        profile, (rows, columns) = self.profile, y.shape[2:]
        x, fine = image.to_array(picture, profile.stride), profile.z_per_y
        shape = (1, profile.autoencoder_channels, fine * rows, fine * columns)
        noise = standard_normals(0, shape)  # of decoding with seed 0
        y, hyper = y.copy(), hyper.copy()
        tiles = [
            Tile(row, column)
            for row in spans(rows, MARGIN, CORE, profile.hyper_factor)
            for column in spans(columns, MARGIN, CORE, profile.hyper_factor)
        ]
        for n, tile in enumerate(tiles):
            scales = (profile.stride, 1, 1 / profile.hyper_factor, fine)
            seen = [array[tile.outer(scale)] for array, scale in zip((x, y, hyper, noise), scales, strict=True)]

            def advance(share: float, n: int = n) -> None:
                if progress:
                    progress((n + share) / len(tiles))

            found = self._window([self._tensor(array) for array in (*seen, tokens)], quality, steps, advance)
            for whole, part, scale in zip((y, hyper), found, scales[1:3], strict=True):
                whole[tile.core(scale)] = part[tile.inner(scale)]
        return y, hyper

    def _window(self, seen: list[Tensor], quality: int, steps: int, advance: Progress) -> list[np.ndarray]:
        """The best of `steps` steps that has no more bits than the start."""
        x, y, hyper, noise, tokens = seen
        model, asked = self.model, torch.tensor([float(quality)], device=self.device)
        gain, inverse, hyper_gain = model.gains(asked)
        anchors = model.gains.weights(asked)[0].cpu()
        prices = torch.tensor([SQUARED, PERCEIVED, BITS, CLOSELY]).log() @ anchors
        squared, perceived, bits_price, closely = prices.exp().tolist()
        rate = float(torch.tensor(RATE, dtype=torch.float64) @ anchors.double())
        with torch.no_grad(), self._precision():
            theirs = self.lpips.features(x)
        start = y * gain, hyper * hyper_gain
        moved = [torch.zeros_like(part, requires_grad=True) for part in start]
        optimizer = torch.optim.Adam(moved, lr=rate, betas=(0.8, 0.99))
        best, first, kept, raised = math.inf, math.inf, start, 0.0
        random = np.random.default_rng(0)
        for step in range(steps + 1):
            latent, hyper_latent = (part + offset for part, offset in zip(start, moved, strict=True))
            y_hat, bits, _ = model.prior(latent, hyper_latent, asked)
            with self._precision():
                z_c, condition = model.synthesise(y_hat * inverse, tokens)
                x_hat = model.render(model.reconstruct(z_c, condition, tokens, noise, asked))
                distance = self.lpips.between(self.lpips.features(x_hat), theirs)
            distortion = squared * F.mse_loss(x_hat.float(), x) + perceived * distance.float().mean()
            bpp = bits.sum() / x[0, 0].numel()
            first = bpp.item() if step == 0 else first
            if bpp.item() <= first and distortion.item() < best:
                best, kept = distortion.item(), (latent.detach(), hyper_latent.detach())
            advance(step / (steps + 1))
            if step == steps:
                break
            excess = HOLD * min(max(bpp.item() / max(first, 1e-6) - AIM, -SPARED), 0.2)
            raised += excess / 2
            optimizer.zero_grad()
            if min(x.shape[2:]) >= LEAST:
                distortion = distortion + closely * self._closely(x_hat, x, random)
            (distortion + bits_price * math.exp(raised + excess) * bpp).backward()
            if step == 0:
                # What hardly matters stays where it is: by itself Adam would move all alike, and zeros would cease to be zeros.
                optimizer.param_groups[0]["eps"] = moved[0].grad.square().mean().sqrt().item()
            optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2
            optimizer.step()
        return [part.cpu().numpy() for part in (kept[0] / gain, kept[1] / hyper_gain)]

    def _closely(self, x_hat: Tensor, x: Tensor, random: np.random.Generator) -> Tensor:
        """LPIPS on VGG16 and texture, in one place: for all of the picture they take longer than everything else together."""
        top, left = (int(random.integers(max(side - PLACE, 0) + 1)) for side in x.shape[2:])
        place = ..., slice(top, top + PLACE), slice(left, left + PLACE)
        with self._precision():
            with torch.no_grad():
                theirs = self.texture.features(x[place])
            ours = self.texture.features(x_hat[place])
            return (self.texture.network.between(ours, theirs) + self.texture.between(ours, theirs)).float().mean()

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def _tensor(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
        return tensor if tensor.is_floating_point() else tensor.long()
