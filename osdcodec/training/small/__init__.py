"""The stages of the profile `small`, in order."""

from pathlib import Path

from ..export.stage import ExportRecipe, export_small, unpack_weights
from ..recipe import Entry, Plain
from .autoencoder import AutoencoderRecipe, train_autoencoder
from .codec import CodecRecipe, train_codec
from .gain_tuning import GainTuningRecipe, train_gains
from .prior import PriorRecipe, train_prior
from .tower import TowerRecipe, train_tower

RECIPE = Path(__file__).with_name("small.toml")
STAGES = {
    "unpack": Entry(unpack_weights, Plain),
    "tower": Entry(train_tower, TowerRecipe),
    "autoencoder": Entry(train_autoencoder, AutoencoderRecipe),
    "codec": Entry(train_codec, CodecRecipe),
    "prior": Entry(train_prior, PriorRecipe),
    "gain_tuning": Entry(train_gains, GainTuningRecipe),
    "export": Entry(export_small, ExportRecipe),
}
