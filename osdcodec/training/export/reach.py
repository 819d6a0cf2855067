"""How far the networks of a model reach: what margins the tiles of large pictures need.

Whatever depends on an input that is not a number is none itself: so one position of the input is made NaN, and the outputs that are
spoilt lie within reach of it. Measured at export, for recipes may add residual blocks, and each reaches farther.
"""

import math

import torch
from torch import Tensor

from ...models import CodecModel

SIDE, ACROSS = 72, 4  # positions of y of the strip that is looked at
LONGEST = 288  # reaches of half of this and more are not looked for


@torch.no_grad()
def margins(model: CodecModel) -> dict[str, int] | None:
    """Returns the margins of each verb in positions of y; None for networks that see all of a picture at once."""
    if model.profile.pretrained:
        return None
    found = {}
    for verb in ("analyse", "synthesise", "denoise", "render"):
        side = SIDE
        while (reach := _reach(model, verb, side)) >= side // 2 - 1:  # it ends at the strip's edge, or beyond
            side *= 2
            if side > LONGEST:
                return None
        found[verb] = math.ceil(reach)
    step = math.lcm(model.profile.hyper_factor, model.profile.base_factor if model.profile.base_codes else 1)
    found["analyse"] = math.ceil(found["analyse"] / step) * step  # hyper-latents begin where those of the whole do
    return found


def _reach(model: CodecModel, verb: str, side: int) -> float:
    """The farthest that an output lies from the input it depends on, in positions of y."""
    profile, at = model.profile, side // 2
    fine, unit = profile.z_per_y, profile.stride
    tokens = torch.zeros(1, profile.tokens, dtype=torch.int64)
    thumb = torch.zeros(1, 3, profile.thumb, profile.thumb)

    def strip(channels: int, scale: int, spoilt: bool = True) -> Tensor:
        made = torch.zeros(1, channels, side * scale, ACROSS * scale)
        if spoilt:
            made[:, :, scale * at : scale * (at + 1)] = torch.nan
        return made

    def reach(output: Tensor, scale: float) -> float:
        rows = output[0].isnan().any(0).any(1).nonzero()[:, 0]
        return float(max(at - rows.min() / scale, (rows.max() + 1) / scale - (at + 1))) if len(rows) else 0.0

    match verb:
        case "analyse":
            y, hyper, *_ = model.analyse(strip(3, unit), thumb)
            return max(reach(y, 1), reach(hyper, 1 / profile.hyper_factor))
        case "synthesise":
            return max(reach(part, fine) for part in model.synthesise(strip(profile.latent_channels, 1), tokens))
        case "denoise":
            z, level = strip(profile.autoencoder_channels, fine), torch.full((1,), float(profile.noise_high))
            condition, bar = strip(profile.condition_channels, fine), torch.full((1, 1, 1, 1), 0.5)
            seen = (strip(3, unit), thumb) if profile.decoder_semantics else ()
            z_hat = model.denoise(z, condition, tokens, z, level, bar, *seen)
            return reach(z_hat, fine)
    return reach(model.render(strip(profile.autoencoder_channels, fine)), unit)
