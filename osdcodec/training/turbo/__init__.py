"""The stages of the profile `turbo`, in order: codebook, relay residual over all noise levels, the fixed step in pixels, export.

They run under accelerate: on one GPU or many, in bfloat16, with accumulated gradients, checkpointed activations and an average of
the trained parameters; the pretrained models stand still in half precision, and no checkpoint holds them.
"""

from pathlib import Path

from ..export.stage import ExportRecipe
from ..recipe import Entry
from .export import export_turbo
from .pixels import PixelsRecipe, train_pixels
from .relay import RelayRecipe, train_relay
from .tokens import TokensRecipe, train_tokens

RECIPE = Path(__file__).with_name("turbo.toml")
STAGES = {
    "tokens": Entry(train_tokens, TokensRecipe),
    "relay": Entry(train_relay, RelayRecipe),
    "pixels": Entry(train_pixels, PixelsRecipe),
    "export": Entry(export_turbo, ExportRecipe),
}
