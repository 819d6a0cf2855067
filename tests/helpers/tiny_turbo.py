"""The large profile at tiny sizes, and random pretrained models in the layout in which SD-Turbo and open_clip publish theirs."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from open_clip.model import CLIP
from safetensors.torch import save_file

from osdcodec.models import turbo
from osdcodec.profile import TURBO

TINY = replace(
    TURBO, latent_channels=32, hyper_channels=4, feature_channels=4, context_channels=8, transform_widths=(8, 8, 16, 16),
    transform_layers=(1, 1, 1, 1), condition_channels=4, thumb=28, tower_width=32, tokens=4, codebook_size=8,
    denoiser_rank=2, encoder_rank=2,
)  # fmt: skip
UNET = {
    "sample_size": 8, "block_out_channels": (8, 8, 16, 16), "norm_num_groups": 4, "layers_per_block": 1,
    "cross_attention_dim": 16, "attention_head_dim": (1, 1, 2, 2), "use_linear_projection": True,
}  # fmt: skip
VAE = turbo.VAE | {"block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 64}
CLIP_SIZES = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 28, "layers": 1, "width": 32, "head_width": 16, "patch_size": 14},
    "text_cfg": {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1},
}
LISTED = """
[[component]]
name = "sd-turbo"
profiles = ["turbo"]
repository = "nobody/tiny"
revision = "main"
[component.files]
"unet/config.json" = ""
"unet/diffusion_pytorch_model.safetensors" = ""
"vae/config.json" = ""
"vae/diffusion_pytorch_model.safetensors" = ""
"scheduler/scheduler_config.json" = ""

[[component]]
name = "clip-vit-h-14"
profiles = ["turbo"]
repository = "nobody/tiny-clip"
revision = "main"
[component.files]
"open_clip_config.json" = ""
"open_clip_model.safetensors" = ""
"""


def lay_out(folder: Path) -> None:
    """Both pretrained models, and the list that names them."""
    torch.manual_seed(0)
    base, clip = folder / "sd-turbo", folder / "clip-vit-h-14"
    UNet2DConditionModel(**UNET).save_pretrained(base / "unet")
    AutoencoderKL(**VAE).save_pretrained(base / "vae")
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    EulerDiscreteScheduler(**schedule, timestep_spacing="trailing").save_pretrained(base / "scheduler")
    clip.mkdir()
    save_file(CLIP(**CLIP_SIZES).state_dict(), clip / "open_clip_model.safetensors")
    (clip / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP_SIZES, "preprocess_cfg": {}}))
    (folder / "weights.toml").write_text(LISTED)
