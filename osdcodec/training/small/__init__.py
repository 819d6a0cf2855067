"""The stages of the profile `small`, in order."""

from pathlib import Path

from ..export.stage import ExportRecipe, export_small, unpack_weights
from ..recipe import Entry, Plain
from .autoencoder import AutoencoderRecipe, train_autoencoder
from .balance import BalanceRecipe, train_balance
from .codec import CodecRecipe, train_codec
from .prior import PriorRecipe, train_prior
from .tower import TowerRecipe, train_tower

RECIPE = Path(__file__).with_name("small.toml")
STAGES = {
    "unpack": Entry(unpack_weights, Plain),
    "tower": Entry(train_tower, TowerRecipe),
    "autoencoder": Entry(train_autoencoder, AutoencoderRecipe),
    "codec": Entry(train_codec, CodecRecipe),
    "prior": Entry(train_prior, PriorRecipe),
    "balance": Entry(train_balance, BalanceRecipe),
    "export": Entry(export_small, ExportRecipe),
}
