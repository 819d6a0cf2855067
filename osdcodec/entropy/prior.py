"""The integer prior: which table of frequencies codes each symbol, from symbols already known.

    quality ─ hyper_scale ─▶ rows of the hyper-latent          (C_h,)
    hyper-latent, quality ─ hyper_synthesis ─▶ features        (C_f, h, w)
    features, latents of groups before ─ context ─▶ means, rows (C_y, h, w)   four times

In the progressive order the four run several times, with falling thresholds, and each time take the uncertain symbols only.

Mean and scale hyperprior: Ballé et al., 2018, and Minnen et al., 2018. Everything between bytes and symbols is integers, so
every machine decodes the same symbols; spec/osd-1.md is the normative text.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import FormatError, WeightsError
from ..profile import Profile
from ..rate_control import ANCHORS, quality_byte
from . import Array
from .groups import PHASES, best_of_cells, masks, quarters
from .integer_net import IntegerLayer, shuffle
from .rans import PRECISION, TOTAL, Reader, Writer

PASSES = (0,)
PROGRESSIVE_PASSES = (36, 28, 20, 14, 0)  # each takes the symbols that are left whose row is this one or a higher one
STRIDE = 32  # of weights that do not tell theirs
UNSEEN = 128
UNIT = 16  # means and reconstructed latents are in sixteenths
_NAMES = {np.dtype("<i2"): "I16", np.dtype("<i4"): "I32", np.dtype("<f4"): "F32", np.dtype("<f2"): "F16"}

Places = tuple[Array, ...]  # channels, rows and columns of n symbols, (n,) each
# (part, tables (R, V), rows (n,), means (n,), places) -> columns (n,); part: tokens, base, hyper or latent; means and places are
# None but for the latent. Fewer columns come back where the rest of the payload has not arrived.
PartCoder = Callable[[str, Array, Array, Array | None, Places | None], Array]


@dataclass(frozen=True, eq=False)
class Symbols:
    """All that a payload says, int32: what the encoder reconstructs and what the decoder reads."""

    tokens: Array  # (K,) indices into the codebook
    base: Array  # (hb, wb) structural codes; (0, 0) where the model has none
    hyper: Array  # (C_h, hh, hw)
    latent: Array  # (C_y, h, w) what was coded: differences from the means
    y16: Array  # (C_y, h, w) reconstructed latent in sixteenths
    # (C_y, h, w) uint8: row of the table that each latent was coded with, plus UNSEEN where it has not arrived. Follows from the rest.
    rows: Array | None = None

    def _arrays(self) -> tuple[Array, ...]:
        return self.tokens, self.base, self.hyper, self.latent, self.y16

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Symbols) and all(map(np.array_equal, self._arrays(), other._arrays()))

    __hash__ = None  # type: ignore[assignment]  # equal by value, and arrays can change

    def digest(self) -> str:
        """SHA-256 over tokens, base, hyper, latent and y16 as little-endian int32, in hex: what conformance vectors list."""
        return hashlib.sha256(b"".join(array.astype("<i4").tobytes() for array in self._arrays())).hexdigest()


def _check_names(tensors: Mapping[str, Array], known: set[str]) -> None:
    """ValueError for a tensor that would change the symbols unseen, and for numbers of another type."""
    if unknown := sorted({name for name in tensors if name.startswith("prior.")} - known):
        raise ValueError(f"{unknown[0]} is not known here: update osdc")
    for name in known & tensors.keys():
        kind = np.int16 if name.endswith(".weight") else np.int32
        if tensors[name].dtype != kind:
            raise ValueError(f"{name} holds {tensors[name].dtype}, not {np.dtype(kind)}")


class Gains(NamedTuple):
    """Factors by which latents are multiplied, float32: the larger, the finer they are coded."""

    latent: Array  # of y, before it is coded
    inverse: Array  # of its reconstruction
    hyper: Array  # of the hyper-latent


class Prior:
    """Codes the symbols of a picture with the integer networks and tables of one model.

    tensors: those of the weights file, by name. WeightsError if they do not fit the profile or might not be exact.
    """

    def __init__(self, tensors: Mapping[str, Array], profile: Profile) -> None:
        self.profile = profile
        try:
            self._load(tensors)
        except (KeyError, ValueError, IndexError) as error:
            raise WeightsError(f"the prior in the weights is not usable: {error}") from error

    def _load(self, tensors: Mapping[str, Array]) -> None:
        """Takes the tensors that are known. KeyError for a missing one, ValueError for one that cannot be."""
        known = {f"prior.{name}" for name in ("tables", "token_tables", "stride", "base_table", "base_factor")}

        def layer(name: str) -> IntegerLayer:
            known.update(f"prior.{name}.{part}" for part in ("weight", "bias", "rescale"))
            rescale = (int(value) for value in tensors[f"prior.{name}.rescale"])
            return IntegerLayer(tensors[f"prior.{name}.weight"], tensors[f"prior.{name}.bias"], *rescale)

        self.tables, self.token_tables = tensors["prior.tables"], tensors["prior.token_tables"]
        self.base_table = tensors["prior.base_table"][None] if self.profile.base_codes else None
        self.hyper_scale = [layer(f"hyper_scale.{i}") for i in range(2)]
        self.hyper_synthesis = [layer(f"hyper_synthesis.{i}") for i in range(3)]
        self.context = [{part: layer(f"context.{t}.{part}") for part in ("0", "1", "mean", "scale")} for t in range(4)]
        self._gains = {name: tensors[f"gains.{name}"] for name in Gains._fields}
        _check_names(tensors, known)
        self._check_tables()
        self._check_sizes(tensors)
        self._check_channels()
        parts = quarters(self.profile.latent_channels)
        names = "mean", "scale"
        self.heads = [{name: [group[name].part(part) for part in parts] for name in names} for group in self.context]
        self.limit = self.tables.shape[1] // 2  # symbols lie in -limit .. limit
        self._bits = PRECISION - np.log2(self.tables)  # only encoders ask: machines may differ in the last bit
        self._check_exactness()

    def _check_tables(self) -> None:
        """ValueError for a table that no decoder could read by."""
        for tables in (self.tables, self.token_tables, self.base_table):
            if tables is None:
                continue
            if tables.shape[1] < 2 or tables.min() < 1 or (tables.sum(1, dtype=np.int64) != TOTAL).any():
                raise ValueError("a table is not one of frequencies that sum to 2**24")

    def _check_sizes(self, tensors: Mapping[str, Array]) -> None:
        """ValueError names the first size that is not that of the profile."""
        profile = self.profile
        latent, hyper, based = profile.latent_channels, profile.hyper_channels, bool(profile.base_codes)
        heads = {group[head].bias.size for group in self.context for head in ("mean", "scale")}
        gains = {name: (len(ANCHORS), hyper if name == "hyper" else latent) for name in self._gains}
        base_codes = 0 if self.base_table is None else self.base_table.shape[1]
        base_factor = tensors["prior.base_factor"].tolist() if based else []
        checks = (  # what is looked at, what it is, and what it must be
            ("columns of prior.tables, modulo 2", self.tables.shape[1] % 2, 1),
            ("prior.token_tables", self.token_tables.shape, (profile.tokens, profile.codebook_size)),
            ("a prior.base_table", "prior.base_table" in tensors, based),
            ("a prior.base_factor", "prior.base_factor" in tensors, based),
            ("codes of prior.base_table", base_codes, profile.base_codes),
            ("prior.base_factor", base_factor, [profile.base_factor] if based else []),
            ("channels of the hyper-latent", self.hyper_scale[1].bias.size, hyper),
            ("channels of the latent", heads, {latent}),
            ("gains", {name: rows.shape for name, rows in self._gains.items()}, gains),
            ("prior.stride", tensors.get("prior.stride", np.array([STRIDE])).tolist(), [profile.stride]),
        )
        for what, found, needed in checks:
            if found != needed:
                raise ValueError(f"{what}: {found}, where profile {profile.name} has {needed}")

    def _check_channels(self) -> None:
        """Each layer takes what those before it give. ValueError."""
        scale, (first, second, third) = self.hyper_scale, self.hyper_synthesis
        given: list[tuple[IntegerLayer, float]] = [(scale[0], 1), (scale[1], scale[0].bias.size)]
        given += [(first, self.profile.hyper_channels + 1)]
        given += [(second, first.bias.size / 4), (third, second.bias.size / 4)]  # after a shuffle
        for group in self.context:
            given += [(group["0"], third.bias.size + self.profile.latent_channels), (group["1"], group["0"].bias.size)]
            given += [(group[head], group["1"].bias.size) for head in ("mean", "scale")]
        if any(layer.weight.shape[1] != channels for layer, channels in given):
            raise ValueError("the channels of a layer are not those of the ones before it")
        for group in self.context:
            if any(group[name].weight.shape[2] != 1 for name in ("1", "mean", "scale")):
                raise ValueError("the last layers of a context look at more than one position")

    def _check_exactness(self) -> None:
        """Worst cases, layer by layer, from the clamps before. ValueError beyond 2**53, or for rows of no table."""
        hyper, latent = self.profile.hyper_channels, self.profile.latent_channels
        self.hyper_scale[1].bound(self.hyper_scale[0].bound(255))
        first, second, third = self.hyper_synthesis
        bound = third.bound(second.bound(first.bound(np.array([self.limit] * hyper + [255]))))
        y16 = UNIT * self.limit + max(group["mean"].reach for group in self.context)
        for group in self.context:
            hidden = group["1"].bound(group["0"].bound(np.array([bound] * third.bias.size + [y16] * latent)))
            for head in ("mean", "scale"):
                group[head].bound(hidden)
        for layer in [self.hyper_scale[1], *(group["scale"] for group in self.context)]:
            if layer.low < 0 or layer.high >= len(self.tables):
                raise ValueError(f"rows {layer.low} .. {layer.high} of {len(self.tables)} tables")

    def encode(
        self,
        y: Array,
        hyper: Array,
        tokens: Array,
        quality: int,
        qualities: Array | None = None,
        progressive: bool = False,
        base: Array | None = None,
    ) -> tuple[bytes, Symbols]:
        """y (C_y, h, w), hyper (C_h, hh, hw) float, already gained; tokens (K,); quality 0 .. 255 -> payload, symbols.

        base (hb, wb): the VQ codes, if the model has them; y is the residual after them. qualities (h, w): of each position,
        where regions differ; progressive: the order of the latent. What lies beyond a table is clamped. ValueError: not finite.
        """
        if not (np.isfinite(y).all() and np.isfinite(hyper).all()):
            raise ValueError("the latents hold values that are not finite")
        writer = Writer()

        def code(part: str, tables: Array, rows: Array, means: Array | None, places: Places | None) -> Array:
            if part in ("tokens", "base"):
                columns = np.asarray(tokens if part == "tokens" else base).ravel()
            else:
                values = np.asarray(hyper.ravel() if means is None else y[places] - means / UNIT, np.float64)
                symbols = np.floor(values + 0.5).clip(-self.limit, self.limit).astype(np.int32)
                if means is not None:
                    symbols = self._cheaper(values, symbols, rows)
                columns = symbols + self.limit
            writer.push(columns, tables, rows)
            return columns

        _, h, w = y.shape
        symbols = self._walk(quality, h, w, code, qualities, progressive)
        return writer.to_bytes(), symbols

    def _cheaper(self, values: Array, symbols: Array, rows: Array) -> Array:
        """Each symbol, or the next towards zero where the bits that it saves are worth the error."""
        lower = symbols - np.sign(symbols)
        cost, cost_lower = (
            np.square(values - each) + self.profile.bit_price * self._bits[rows, each + self.limit]
            for each in (symbols, lower)
        )
        return np.where(cost_lower < cost, lower, symbols)

    def decode(
        self,
        payload: bytes,
        quality: int,
        h: int,
        w: int,
        qualities: Array | None = None,
        progressive: bool = False,
        missing: int = 0,
        damaged: bool = False,
    ) -> Symbols:
        """The symbols of a payload for h x w positions of y. FormatError if it is damaged.

        missing: bytes at its bottom that have not arrived. Latents that depend on them are 0, and their y16 the mean.
        damaged: the same for a payload that is damaged, and the latents behind the first that cannot be.
        """
        reader = Reader(payload, missing, damaged)

        def code(part: str, tables: Array, rows: Array, means: Array | None, places: Places | None) -> Array:
            columns = reader.pop(tables, rows)
            if part != "latent" and len(columns) < len(rows):
                raise FormatError("too little has arrived for a first picture", "payload")
            return columns

        symbols = self._walk(quality, h, w, code, qualities, progressive)
        if not (missing or damaged):
            reader.finish()
        return symbols

    def parts(
        self, symbols: Symbols, quality: int, qualities: Array | None = None, progressive: bool = False
    ) -> dict[str, float]:
        """Ideal code length in bits of tokens, base (if there is one), hyper and latent; the payload has a few bytes more or less."""
        kinds = ("tokens", "hyper", "latent") if self.base_table is None else ("tokens", "base", "hyper", "latent")
        bits = dict.fromkeys(kinds, 0.0)

        def code(part: str, tables: Array, rows: Array, means: Array | None, places: Places | None) -> Array:
            if part in ("tokens", "base"):
                columns = symbols.tokens if part == "tokens" else symbols.base.ravel()
            else:
                columns = (symbols.hyper.ravel() if part == "hyper" else symbols.latent[places]) + self.limit
            bits[part] += float((PRECISION - np.log2(tables[rows, columns])).sum())
            return columns

        _, h, w = symbols.latent.shape
        self._walk(quality, h, w, code, qualities, progressive)
        return bits

    def gains(self, quality: int) -> Gains:
        """The factors at a quality 0 .. 255, (C_y,), (C_y,) and (C_h,).

        The log of a gain is piecewise linear in the log of lambda, hence in the quality (Cui et al., 2021).
        """
        anchors = [quality_byte(lmbda) for lmbda in reversed(ANCHORS)]  # ascending, as np.interp wants them
        places = np.interp(quality, anchors, np.arange(len(anchors))[::-1])
        below = min(int(places), len(anchors) - 2)
        share = places - below
        logs = (np.log(self._gains[name].astype(np.float64)) for name in Gains._fields)
        return Gains(*(np.exp((1 - share) * rows[below] + share * rows[below + 1]).astype(np.float32) for rows in logs))

    def gain_maps(self, quality: int, qualities: Array | None = None) -> Gains:
        """The factors ready to multiply with: (C, 1, 1), and where qualities (h, w) differ (C_y, h, w); those of the hyper-latent never do."""
        latent, inverse, hyper = (factors[:, None, None] for factors in self.gains(quality))
        if qualities is not None:
            shape = self.profile.latent_channels, *qualities.shape
            latent, inverse = np.empty(shape, np.float32), np.empty(shape, np.float32)
            for value in np.unique(qualities):
                gains, places = self.gains(int(value)), qualities == value
                latent[:, places], inverse[:, places] = gains.latent[:, None], gains.inverse[:, None]
        return Gains(latent, inverse, hyper)

    def _walk(
        self,
        quality: int,
        h: int,
        w: int,
        code: PartCoder,
        qualities: Array | None = None,
        progressive: bool = False,
    ) -> Symbols:
        """Visits all symbols in the order of the stack; `code` reads, writes or counts them."""
        if not (0 <= quality <= 255 and h >= 1 and w >= 1):
            raise ValueError(f"quality {quality} or size {h}x{w} is out of range")
        tokens = code("tokens", self.token_tables, np.arange(len(self.token_tables)), None, None)

        base = np.zeros(self.profile.base_grid(h, w), np.int32)
        if self.base_table is not None:
            base = code("base", self.base_table, np.zeros(base.size, np.int32), None, None).reshape(base.shape)

        plane = np.full((1, *self.profile.hyper_grid(h, w)), float(quality))
        rows = plane[:, :1, :1]
        for layer in self.hyper_scale:
            rows = layer(rows)
        rows = np.broadcast_to(rows, (len(rows), *plane.shape[1:])).astype(np.int32)
        hyper = code("hyper", self.tables, rows.ravel(), None, None).reshape(rows.shape) - self.limit

        if qualities is not None:
            plane[0] = best_of_cells(qualities, self.profile.hyper_factor)
        features = np.concatenate([hyper, plane])
        for layer in self.hyper_synthesis[:-1]:
            features = shuffle(layer(features))
        features = self.hyper_synthesis[-1](features)[:, :h, :w]

        latent, y16, rows = self._latent(features, code, progressive)
        return Symbols(tokens.astype(np.int32), base.astype(np.int32), hyper, latent, y16, rows)

    def _latent(self, features: Array, code: PartCoder, progressive: bool) -> tuple[Array, Array, Array]:
        """features (C_f, h, w) -> symbols, reconstructed latent, and the rows that `Symbols` has, (C_y, h, w) each.

        A group sees the groups before it, as in training: what is decided of them, and the means of the rest.
        """
        shape = self.profile.latent_channels, *features.shape[1:]
        # All of the following are flat: places of a group are given as indices into them.
        latent, y16, seen = (np.zeros(np.prod(shape, dtype=int), np.int32) for _ in range(3))
        decided, coded_with = np.zeros(latent.size, bool), np.zeros(latent.size, np.uint8)
        groups = [np.flatnonzero(mask) for mask in masks(*shape)]
        first = self._predicted(0, features)  # sees nothing, so it is the same in all passes
        for least in PROGRESSIVE_PASSES if progressive else PASSES:
            seen[:], all_arrived = 0, True
            for t, group in enumerate(groups):
                means, rows = self._predicted(t, np.concatenate([features, seen.reshape(shape)])) if t else first
                waiting = ~decided[group]
                y16[group[waiting]], coded_with[group[waiting]] = means[waiting], rows[waiting]
                chosen = np.flatnonzero(waiting & (rows >= least))
                if progressive:
                    chosen = chosen[np.argsort(-rows[chosen], kind="stable")]  # the most uncertain first
                places = group[chosen]
                columns = code("latent", self.tables, rows[chosen], means[chosen], np.unravel_index(places, shape))
                all_arrived &= len(columns) == len(chosen)
                arrived = places[: len(columns)]
                latent[arrived] = columns - self.limit
                y16[arrived] += UNIT * latent[arrived]
                decided[arrived] = True
                seen[group] = y16[group]
            if not all_arrived:
                break
        coded_with += np.uint8(UNSEEN) * ~decided
        return latent.reshape(shape), y16.reshape(shape), coded_with.reshape(shape)

    def _predicted(self, t: int, seen: Array) -> tuple[Array, Array]:
        """Means and rows of the symbols of group t, (n,) each, from the features and what is seen of the groups before it.

        The last two layers look at one position each. So a quarter of the channels is computed where its symbols are, and nowhere else.
        """
        context = self.context[t]
        hidden = context["1"](context["0"](seen))
        looked_at = [hidden[:, phase // 2 :: 2, phase % 2 :: 2] for phase in (PHASES[t] ^ n for n in range(4))]

        def of(head: str) -> Array:
            parts = [layer(x).ravel() for layer, x in zip(self.heads[t][head], looked_at, strict=True)]
            return np.concatenate(parts).astype(np.int32)

        return of("mean"), of("scale")


def model_id(tensors: Mapping[str, Array]) -> bytes:
    """First 4 bytes of a SHA-256 over the tensors that fix the symbols and what they mean.

    These are all `prior.*` and `gains.*` and, as "codebook" in half precision, `semantics.codebook`; sorted by name. What the codes of
    a base mean, `base.codebook`, counts too. KeyError without a codebook.
    """
    normative = {name: tensors[name] for name in tensors if name.startswith(("prior.", "gains."))}
    normative["codebook"] = tensors["semantics.codebook"].astype("<f2")  # lossless: it was stored so
    if "base.codebook" in tensors:
        normative["base.codebook"] = tensors["base.codebook"].astype("<f2")
    digest = hashlib.sha256()
    for name, array in sorted(normative.items()):
        array = np.asarray(array, array.dtype.newbyteorder("<"))
        head = f"{name}\0{_NAMES[array.dtype]}\0{','.join(map(str, array.shape))}\0"
        digest.update(head.encode())
        digest.update(array.tobytes())
    return digest.digest()[:4]
