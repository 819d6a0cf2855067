"""The parts of profile `turbo`: the autoencoder and UNet of SD-Turbo and the tower of a full-size CLIP, adapted by LoRA, and
a latent codec at 1/64 between them.

Of the pretrained models nothing is trained but low-rank adapters (Hu et al., 2022), and with a control branch not even those, so the
weights file of the profile holds only what `of_pretrained` does not name.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import open_clip
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.models.autoencoders.autoencoder_dc import DCDownBlock2d
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..profile import Profile
from .blocks import bias_of, first_layer, principal_components, zeroed
from .semantics import Semantics
from .tiling import by_tiles
from .transforms import Synthesis, scales

Pretrained = Callable[[str], Path]  # name of a pretrained model -> the folder it lies in

# The published sizes, for a model with random weights; one that is loaded says its own.
UNET = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),  # diffusers reads this as numbers of heads
    "use_linear_projection": True,
}
VAE = {
    "sample_size": 768,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
}
CLIP = "ViT-H-14"

UNET_LAYERS = (
    r"(.*\.)?(to_q|to_k|to_v|to_out\.0|conv|conv1|conv2|conv_shortcut|proj_in|proj_out|ff\.net\.0\.proj|ff\.net\.2)"
)
ENCODER_LAYERS = r"encoder\.(.*\.)?(to_q|to_k|to_v|to_out\.0|conv|conv1|conv2|conv_shortcut|conv_in|conv_out)"

TILE, OVERLAP = 128, 32  # positions of z: 1024 pixels, so nothing up to that is cut
STEP = 2.0  # quantisation step of the principal components at lambda 2; a guess, from which the gains learn away


class KlAutoencoder(nn.Module):
    """x (B, 3, H, W) in [-1, 1]  <->  z (B, 4, H/8, W/8), of unit variance by the published scaling factor.

    The analysis sees a latent of the adapted encoder, the diffusion aims at that of the published encoder: were
    the aim trained as well, it would grow until the noise of a level is none.
    """

    vae: AutoencoderKL

    def __init__(self, profile: Profile, vae: AutoencoderKL) -> None:
        super().__init__()
        self.scale = vae.config.scaling_factor
        self.factor = profile.autoencoder_factor
        self.adapted = profile.encoder_rank > 0
        self.vae = adapted(vae, profile.encoder_rank, ENCODER_LAYERS)

    def encode(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 4, H/8, W/8), not adapted"""
        with unadapted(self.vae):
            return self.observe(x)

    def observe(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) -> (B, 4, H/8, W/8) as the analysis sees it; z: what `encode` gave"""
        if z is not None and not self.adapted:
            return z
        edges = TILE * self.factor, OVERLAP * self.factor
        return by_tiles(lambda part: self.vae.encode(part).latent_dist.mean * self.scale, (x,), *edges, self._down)

    def decode(self, z: Tensor) -> Tensor:
        """(B, 4, H/8, W/8) -> (B, 3, H, W)"""
        return by_tiles(lambda part: self.vae.decode(part / self.scale).sample, (z,), TILE, OVERLAP, 1 / self._down)

    @property
    def _down(self) -> Fraction:
        return Fraction(1, self.factor)


class ClipSemantics(Semantics):
    """thumb (B, 3, 224, 224) in [-1, 1] -> features (B, K, d), tokens (B, K), by the image tower of an open_clip model.

    Only an encoder has use for the tower, 632 million parameters, so it is loaded by `open`, at the latest when first used.
    """

    shift: Tensor
    spread: Tensor

    def __init__(self, profile: Profile, pretrained: Pretrained | None) -> None:
        super().__init__(profile)
        self.load: Callable[[], nn.Module] = lambda: clip_tower(
            pretrained(profile.pretrained[1]) if pretrained else None
        )
        for name, values in (("shift", open_clip.OPENAI_DATASET_MEAN), ("spread", open_clip.OPENAI_DATASET_STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def build(self, profile: Profile) -> None:
        return None

    def open(self) -> None:
        """Loads the tower. ValueError if its folder holds none."""
        if self.tower is None:
            self.tower = self.load().requires_grad_(False).to(self.codebook).eval()

    def features(self, thumb: Tensor) -> Tensor:
        """(B, 3, 224, 224) -> (B, K, d), unit length"""
        self.open()
        return super().features(self.normalised(thumb))

    def tower_features(self, thumb: Tensor) -> Tensor:
        """(B, 3, 224, 224) -> (B, 256, d), unit length"""
        self.open()
        return super().tower_features(self.normalised(thumb))

    def normalised(self, x: Tensor) -> Tensor:
        """[-1, 1] -> what CLIP was trained with"""
        return ((x + 1) / 2 - self.shift) / self.spread


class WideConv(nn.Module):
    """A convolution that gets further inputs after its own; they begin with no effect."""

    def __init__(self, base: nn.Conv2d, inputs: int) -> None:
        super().__init__()
        self.base = base
        rows, columns = base.kernel_size
        same = (rows // 2, columns // 2)
        self.extra = zeroed(nn.Conv2d(inputs, base.out_channels, (rows, columns), padding=same, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        own, further = x.split((self.base.in_channels, self.extra.in_channels), 1)
        return self.base(own) + self.extra(further)


class Control(nn.Module):
    """z_n (B, 4, h, w), level (B,), words (B, K, d), what is known (B, C, h, w) -> what the UNet adds to its features

    RDEIC leaves the published UNet unchanged and trains a control network beside it (section 3.1). It is a ControlNet (Zhang et al.,
    2023) of fewer channels, which the authors' public code has at a fifth of the UNet's; its outputs are widened, and zero-initialised.
    """

    def __init__(self, profile: Profile, unet: UNet2DConditionModel, known: int) -> None:
        super().__init__()
        sizes, groups = unet.config, unet.config.norm_num_groups
        wide = sizes.block_out_channels
        narrow = tuple(max(1, round(width * profile.control / 100 / groups)) * groups for width in wide)
        self.net = ControlNetModel(
            in_channels=sizes.in_channels,
            down_block_types=sizes.down_block_types,
            block_out_channels=narrow,
            layers_per_block=sizes.layers_per_block,
            norm_num_groups=groups,
            cross_attention_dim=sizes.cross_attention_dim,
            # diffusers reads this as numbers of heads.
            attention_head_dim=tuple(max(1, width // 16) for width in narrow),
            use_linear_projection=sizes.use_linear_projection,
        )
        self.net.controlnet_cond_embedding = nn.Conv2d(known, narrow[0], 3, padding=1)  # the known has the size of z
        last, layers = len(wide) - 1, sizes.layers_per_block
        outputs = [wide[0], *(width for n, width in enumerate(wide) for _ in range(layers + (n < last)))]
        self.net.controlnet_down_blocks = nn.ModuleList(
            zeroed(nn.Conv2d(layer.in_channels, width, 1))
            for layer, width in zip(self.net.controlnet_down_blocks, outputs, strict=True)
        )
        self.net.controlnet_mid_block = zeroed(nn.Conv2d(narrow[-1], wide[-1], 1))

    def forward(self, z_n: Tensor, level: Tensor, words: Tensor, known: Tensor) -> dict[str, object]:
        """What UNet2DConditionModel.forward takes beside its inputs."""
        down, middle = self.net(z_n, level, words, controlnet_cond=known, return_dict=False)
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}


class TurboDenoiser(nn.Module):
    """z_c (B, 4, h, w), condition (B, C_c, h, w), embeddings (B, K, d), noise like z_c, level N -> z_hat like z_c

    The step of models/denoiser.py. That network is asked for f of eps_N = eps + f, because it is trained from nothing and f = 0
    is a good picture; this one was published as a predictor of all the noise it sees, so its output is eps_N itself.
    The UNet keeps its four inputs for z_N. What is known without noise, z_c and the condition, enters beside them through a
    convolution that begins at zero, so that at first the network is the published one; unlike a ControlNet, which copies half
    of the UNet to the same end, that costs 0.1 million parameters and no time. A profile may have such a branch in its place
    (`control`), beside a UNet that is not adapted. Tokens take the place of the text: a layer norm brings them to the scale of
    the text encoder's output, which ends in one.
    """

    def __init__(self, profile: Profile, unet: UNet2DConditionModel) -> None:
        super().__init__()
        width = unet.config.cross_attention_dim
        self.words = nn.Sequential(nn.Linear(profile.tower_width, width), nn.LayerNorm(width))
        self.places = nn.Parameter(torch.zeros(profile.tokens, width))
        self.unet = adapted(unet, profile.denoiser_rank, UNET_LAYERS)
        known = profile.autoencoder_channels + profile.condition_channels
        self.control = Control(profile, unet, known) if profile.control else None
        if self.control is None:
            self.unet.conv_in = WideConv(unet.conv_in, known)

    def predict(self, z_n: Tensor, z_c: Tensor, condition: Tensor, embeddings: Tensor, level: Tensor) -> Tensor:
        """Noisy latent z_n (B, 4, h, w) of level n (B,) -> its noise"""
        words = self.words(embeddings) + self.places

        def work(z_n: Tensor, known: Tensor) -> Tensor:
            if self.control is None:
                return self.unet(torch.cat([z_n, known], 1), level, words).sample
            return self.unet(z_n, level, words, **self.control(z_n, level, words, known)).sample

        return by_tiles(work, (z_n, torch.cat([z_c, condition], 1)), TILE, OVERLAP)

    def forward(
        self, z_c: Tensor, condition: Tensor, embeddings: Tensor, noise: Tensor, level: Tensor, alpha_bar: Tensor
    ) -> Tensor:
        """level (B,) float, alpha_bar (B, 1, 1, 1) of that level"""
        signal, deviation = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        z_n = signal * z_c + deviation * noise
        return (z_n - deviation * self.predict(z_n, z_c, condition, embeddings, level)) / signal


class TurboAnalysis(nn.Module):
    """z (B, 4, 8h, 8w), x (B, 3, H, W), features (B, K, d) -> y (B, C_y, h, w)

    The principal components of 8x8 blocks of z, and the three complementary encoders of models/transforms.py on top.
    """

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        fine, factor, ratio = profile.transform_widths[0], profile.autoencoder_factor, profile.z_per_y
        self.linear = nn.Conv2d(profile.autoencoder_channels, profile.latent_channels, ratio, ratio)
        self.latent = nn.Conv2d(profile.autoencoder_channels, fine, 3, padding=1)
        self.pixel = nn.Sequential(nn.PixelUnshuffle(factor), nn.Conv2d(3 * factor**2, fine, 3, padding=1))
        self.semantic = nn.Linear(profile.tower_width, fine)
        stages, widths = scales(profile), profile.transform_widths
        steps = list(pairwise(widths))
        self.fuse = nn.Sequential(
            *stages[0],
            *(layer for n, stage in enumerate(stages[1:]) for layer in (DCDownBlock2d(*steps[n]), *stage)),
            zeroed(nn.Conv2d(widths[-1], profile.latent_channels, 3, padding=1)),
        )

    def forward(self, z: Tensor, x: Tensor, features: Tensor) -> Tensor:
        semantic = self.semantic(features.mean(1))[:, :, None, None]
        return self.linear(z) + self.fuse(self.latent(z) + self.pixel(x) + semantic)


@torch.no_grad()
def start_linear(analysis: TurboAnalysis, synthesis: Synthesis, latents: Tensor) -> None:
    """Sets the linear parts from latents z (N, 4, h, w): y their principal components, z_c what these show."""
    down, up = analysis.linear, first_layer(synthesis.linear)
    mean, basis, _ = principal_components(latents, down.kernel_size[0], down.out_channels)
    down.weight.copy_((basis / STEP).unflatten(1, down.weight.shape[1:]))
    bias_of(down).copy_(-(basis @ mean) / STEP)
    up.weight.copy_((STEP * basis).T[:, :, None, None])
    bias_of(up).copy_(mean)


def parts(profile: Profile, pretrained: Pretrained | None) -> tuple[nn.Module, ...]:
    """Autoencoder, semantics, analysis, synthesis and denoiser. ValueError if the pretrained model is not the right one."""
    if pretrained is None:
        vae, unet = AutoencoderKL(**VAE), UNet2DConditionModel(**UNET)
    else:
        vae, unet = diffusion_model(pretrained(profile.pretrained[0]), profile)
    autoencoder, denoiser = KlAutoencoder(profile, vae), TurboDenoiser(profile, unet)
    return autoencoder, ClipSemantics(profile, pretrained), TurboAnalysis(profile), Synthesis(profile), denoiser


def diffusion_model(folder: Path, profile: Profile) -> tuple[AutoencoderKL, UNet2DConditionModel]:
    """A folder laid out as that of SD-Turbo: vae/, unet/, scheduler/. ValueError if it holds no such model."""
    try:
        told = json.loads((folder / "scheduler" / "scheduler_config.json").read_text("utf-8"))
        loaded = []
        for kind, name in ((AutoencoderKL, "vae"), (UNet2DConditionModel, "unet")):
            variant = "fp16" if any((folder / name).glob("*.fp16.safetensors")) else None
            loaded.append(
                kind.from_pretrained(
                    folder, subfolder=name, variant=variant, use_safetensors=True, local_files_only=True
                )
            )
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder} holds no model in the layout of SD-Turbo: {error}") from error
    ours = (profile.beta_start, profile.beta_end, "scaled_linear", profile.diffusion_steps, "epsilon")
    names = ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps", "prediction_type")
    if tuple(told.get(name) for name in names) != ours:
        raise ValueError(
            f"{folder} has another noise schedule than profile {profile.name}: use the listed pretrained model"
        )
    vae, unet = loaded
    return vae, unet


def clip_tower(folder: Path | None) -> nn.Module:
    """The image tower of open_clip_model.safetensors, which gives all patches; without a folder one of random weights."""
    if folder is None:
        tower = open_clip.model.CLIP(**open_clip.get_model_config(CLIP)).visual
    else:
        try:
            sizes = json.loads((folder / "open_clip_config.json").read_text("utf-8"))["model_cfg"]
            with torch.device("meta"):
                tower = open_clip.model.CLIP(**sizes).visual
            with safe_open(folder / "open_clip_model.safetensors", "pt") as file:
                names = [name for name in file.keys() if name.startswith("visual.")]  # noqa: SIM118
                state = {name.removeprefix("visual."): file.get_tensor(name) for name in names}
            tower.load_state_dict(state, assign=True)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
            raise ValueError(f"{folder} holds no CLIP in the layout of open_clip: {error}") from error
    tower.proj, tower.output_tokens = None, True
    return tower


def adapted(network: nn.Module, rank: int, layers: str) -> nn.Module:
    """Fixes a network and puts low-rank adapters, which begin with no effect, on the layers that the expression names; rank 0: none."""
    network.requires_grad_(False)
    if not rank:
        return network
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=layers)
    return inject_adapter_in_model(config, network)


@contextmanager
def unadapted(network: nn.Module) -> Iterator[None]:
    """The network as published, without adapters."""
    layers = [layer for layer in network.modules() if isinstance(layer, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def merged(model: nn.Module) -> nn.Module:
    """Adds the adapters to the weights they adapt, in place: for inference."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, BaseTunerLayer):
                layer.merge(safe_merge=False)
                setattr(parent, name, layer.get_base_layer())
    return model


def of_pretrained(name: str) -> bool:
    """Whether a tensor of a model's state dict is a pretrained model's own: never trained, never in our files."""
    inside = name.startswith(("autoencoder.vae.", "denoiser.unet.", "semantics.tower."))
    return inside and ".lora_" not in name and not name.startswith("denoiser.unet.conv_in.extra.")
