"""A random state dict with the names and shapes of the public checkpoints of CoD-Lite, every tensor filled; no weights are here.

As a program it is how the literals of test_cod_lite.py were made: the authors' own code, given the same numbers and the same noise.

    git clone https://github.com/microsoft/GenCodec && git -C GenCodec checkout c49eb0d
    PYTHONPATH=. python tests/helpers/public_cod_lite.py GenCodec/CoD_Lite
"""

import sys
import types
from pathlib import Path

import numpy as np

from osdcodec.cod_lite.sizes import Sizes

Shapes = dict[str, tuple[int, ...]]
SIZES = {
    "0.0312": Sizes(stride=16, entries=256),
    "0.0039": Sizes(stride=32, entries=16, noise_level=1.0, adds_noise=True),
}
PICTURES = {
    "0.0312": (48, 528),
    "0.0039": (96, 64),
}  # the first is wider than a window of attention, the second smaller


def shapes(sizes: Sizes) -> Shapes:
    """Every tensor of the network by its public name."""
    found: Shapes = {}

    def layer(name: str, outputs: int, *inputs: int, bias: bool = True) -> None:
        found[f"{name}.weight"] = outputs, *inputs
        if bias:
            found[f"{name}.bias"] = (outputs,)

    def block(name: str, inputs: int, outputs: int) -> None:
        layer(f"{name}.norm1", inputs)
        layer(f"{name}.conv1", outputs, inputs, 3, 3)
        layer(f"{name}.norm2", outputs)
        layer(f"{name}.conv2", outputs, outputs, 3, 3)
        if inputs != outputs:
            layer(f"{name}.nin_shortcut", outputs, inputs, 1, 1)

    def attention(name: str, channels: int) -> None:
        layer(f"{name}.norm", channels)
        for part in ("q", "k", "v", "proj_out"):
            layer(f"{name}.{part}", channels, channels, 1, 1)

    encoder, width, wide = "y_embedder.encoder", sizes.encoder_width, sizes.width
    layer(f"{encoder}.conv_in", width, 3, 3, 3)
    for stage, (inputs, outputs) in enumerate([(width, width), (width, width), (width, 2 * width), (2 * width,) * 2]):
        block(f"{encoder}.down_block_{stage}.0", inputs, outputs)
        block(f"{encoder}.down_block_{stage}.1", outputs, outputs)
        if sizes.stride >= (4, 8, 16, 32)[stage]:
            layer(f"{encoder}.down_block_{stage}.2.conv", outputs, outputs, 3, 3)
    for name, inputs in (("down_block_4.0", 2), ("down_block_4.2", 4), ("mid_block.0", 4), ("mid_block.2", 4)):
        block(f"{encoder}.{name}", inputs * width, 4 * width)
    for name in ("down_block_4.1", "down_block_4.3", "mid_block.1"):
        attention(f"{encoder}.{name}", 4 * width)
    layer(f"{encoder}.norm_out", 4 * width)
    layer(f"{encoder}.conv_out", sizes.dimension, 4 * width, 3, 3)

    decoder = "y_embedder.decoder"
    found["y_embedder.bottleneck.embedding.weight"] = sizes.entries, sizes.dimension
    layer(f"{decoder}.conv_in", wide, sizes.dimension, 3, 3)
    for index in (0, 2, 4):
        block(f"{decoder}.block.{index}", wide, wide)
    for index in (1, 3):
        attention(f"{decoder}.block.{index}", wide)
    layer(f"{decoder}.norm_out", wide)
    if sizes.stride == 4:
        layer(f"{decoder}.conv_out.0", wide, wide, 3, 3)
        block(f"{decoder}.conv_out.1", wide, wide)
        layer(f"{decoder}.conv_out.2", wide, wide, 3, 3)
    else:
        layer(f"{decoder}.conv_out", wide, wide, 3, 3)
    if sizes.stride == 32:
        block(f"{decoder}.ada.block", wide, wide)

    layer("t_embedder.mlp.0", wide, 256)
    layer("t_embedder.mlp.2", wide, wide)
    layer("s_embedder.proj1", sizes.bottleneck, 3, 16, 16, bias=False)
    layer("s_embedder.proj2", wide, sizes.bottleneck + wide, 1, 1)
    for index in range(sizes.blocks):
        name = f"blocks.{index}"
        layer(f"{name}.conv2", wide, 1, 3, 3)
        layer(f"{name}.adaLN_modulation.1", 6 * wide, wide)
        for part, outputs, inputs in (
            ("conv1", 1, 1), ("conv3", 1, 1), ("ca.1", 1, 1), ("conv4", 4, 1), ("conv5", 1, 4),
        ):  # fmt: skip
            layer(f"{name}.{part}", outputs * wide, inputs * wide, 1, 1)
    narrow = sizes.pixel_width
    layer("y_embedder_x", 256 * narrow, wide, 1, 1)
    layer("x_embedder.embedder.0", narrow, 3 + narrow + 64)
    layer("dec_net.cond_embed", 256 * narrow, wide)
    layer("dec_net.input_proj", narrow, narrow)
    for index in range(sizes.pixel_blocks):
        name = f"dec_net.res_blocks.{index}"
        layer(f"{name}.in_ln", narrow)
        layer(f"{name}.mlp.0", narrow, narrow)
        layer(f"{name}.mlp.2", narrow, narrow)
        layer(f"{name}.adaLN_modulation.1", 3 * narrow, narrow)
    layer("final_layer.norm", narrow, bias=False)
    layer("final_layer.linear", 3, narrow)
    return found


def state(sizes: Sizes, seed: int = 0) -> dict[str, np.ndarray]:
    """Random numbers that keep values of all layers near one."""
    random, drawn = np.random.Generator(np.random.PCG64(seed)), {}
    for name, shape in sorted(shapes(sizes).items()):
        values = random.standard_normal(shape, np.float32)
        if len(shape) > 1 and "embedding" not in name:
            values *= np.prod(shape[1:]) ** -0.5
        elif len(shape) == 1:
            values = values * 0.1 + (name.endswith("weight"))
        drawn[name] = values.astype(np.float32)
    return drawn


def picture(rate: str) -> np.ndarray:
    """x (1, 3, H, W) in [0, 1]"""
    return np.random.Generator(np.random.PCG64(1)).random((1, 3, *PICTURES[rate]), np.float32)


def noise(rate: str) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(2)).standard_normal((1, 3, *PICTURES[rate]), np.float32)


def recorded(pixels: np.ndarray) -> list[float]:
    """A dozen numbers of x (1, 3, H, W), and the mean of all in magnitude."""
    chosen = pixels.ravel()[:: pixels.size // 12 + 7]
    return [round(float(value), 5) for value in (*chosen, np.abs(pixels).mean())]


def main(checkout: str) -> None:
    import torch

    sys.path.insert(0, str(Path(checkout).resolve()))
    sys.modules["cod.models.utils.encoder"] = types.SimpleNamespace(
        DINOv2=object
    )  # of the discriminator, which needs timm
    from finetuned_one_step_codec.models.models import OneStepCoD

    for rate, sizes in SIZES.items():
        model = OneStepCoD(
            noise_level=sizes.noise_level, pred="v" if sizes.adds_noise else "x", patch_size=16, in_channels=3,
            hidden_size=sizes.width, hidden_size_x=sizes.pixel_width, num_blocks=sizes.blocks + sizes.pixel_blocks,
            num_cond_blocks=sizes.blocks, bottleneck_dim=sizes.bottleneck, light=True, up2x=True, ds=sizes.stride,
            codebook_bits=sizes.entries.bit_length() - 1,
        )  # fmt: skip
        model.load_state_dict({name: torch.from_numpy(value) for name, value in state(sizes).items()}, strict=True)
        model.eval()
        torch.randn_like = lambda like, rate=rate: torch.from_numpy(noise(rate))
        with torch.no_grad():
            packed = bytes(model.compress(torch.from_numpy(picture(rate))))
            pixels = model.inference(torch.from_numpy(picture(rate))).numpy()
        print(rate, packed.hex(), recorded(pixels))


if __name__ == "__main__":
    main(sys.argv[1])
