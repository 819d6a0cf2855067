"""Training pictures: random crops of photographs from tars or folders, labelled thumbnails from a zip.

A folder of data holds train/ and, where they are available, thumbnails/ and perceptual/; a folder of photographs alone will do.
"""

import csv
import io
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ..errors import InputError, OsdWarning
from .recipe import STRICT

MEMORY = 4 * 2**30  # bytes of decoded photographs that are kept


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Variety:
    """Which share of the crops is, beside a window of a photograph, …"""

    turned: float = 0.0  # turned by a quarter
    grey: float = 0.0
    ends: float = 0.0  # the end of a picture, padded by reflection
    flat: float = 0.0  # no photograph, but one colour or a slope
    screen: float = 0.0  # no photograph, but windows and words on flat background


PLAIN = Variety()


class Photos:
    """Random crops of the photographs in DATA/train, or in DATA itself: of *.tar or of image files in any tree of folders.

    Decoded photographs stay in memory until they fill `memory` bytes, about 0.9 MB each of 475 x 640; files stay on the disk. One
    that cannot be read is left out, with a warning. InputError if there is none.
    """

    SUFFIXES = {".webp", ".png", ".jpg", ".jpeg"}

    def __init__(self, data: Path, seed: int = 0, memory: int = MEMORY, variety: Variety = PLAIN) -> None:
        self.variety = variety
        folder = data / "train" if (data / "train").is_dir() else data
        self.folder, self.memory = folder, memory
        self.sources: list[bytes | Path] = []
        for path in sorted(folder.rglob("*")):
            if path.suffix == ".tar":
                with tarfile.open(path) as tar:
                    files = (tar.extractfile(m) for m in tar if self._is_picture(Path(m.name)))
                    self.sources += [file.read() for file in files if file]
            elif self._is_picture(path):
                self.sources.append(path)
        if not self.sources:
            raise InputError(f"no photographs in {folder}: it holds neither tars nor image files; see --data")
        self.decoded: dict[int, np.ndarray] = {}
        self.bad: set[int] = set()
        self.random = np.random.default_rng(seed)

    def seed(self, *numbers: int) -> None:
        """From here on crops are those of these numbers."""
        self.random = np.random.default_rng(numbers)

    def _is_picture(self, path: Path) -> bool:
        return path.suffix.lower() in self.SUFFIXES and not path.name.startswith(".")

    def __len__(self) -> int:
        return len(self.sources)

    def picture(self, index: int) -> np.ndarray | None:
        """uint8 (H, W, 3); None if it cannot be read."""
        if index in self.decoded:
            return self.decoded[index]
        if index in self.bad:
            return None
        source = self.sources[index]
        try:
            picture = np.asarray(Image.open(io.BytesIO(source) if isinstance(source, bytes) else source).convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            name = source if isinstance(source, Path) else f"photograph {index}"
            warnings.warn(f"{name} cannot be read ({error}) and is left out", OsdWarning, stacklevel=2)
            self.bad.add(index)
            return None
        if picture.nbytes <= self.memory:
            self.memory -= picture.nbytes
            self.decoded[index] = picture
        return picture

    def pictures(self, count: int) -> Iterator[np.ndarray]:
        """The first `count` photographs that can be read, or as many as there are."""
        for index in range(len(self)):
            if count and (picture := self.picture(index)) is not None:
                count -= 1
                yield picture

    def crop(self, height: int, width: int | None = None) -> np.ndarray:
        """A random crop uint8 (height, width, 3), square by default, sometimes of the picture at a smaller scale, mirrored half of
        the time, and of the kinds of `variety`."""
        return self._crop(height, width or height)[0]

    def _crop(self, height: int, width: int) -> tuple[np.ndarray, bool]:
        """And whether it is drawn, no photograph."""
        if self.random.random() < self.variety.flat:
            return flat(self.random, height, width), True
        if self.random.random() < self.variety.screen:
            return screen(self.random, height, width), True
        return self._window(height, width), False

    def _window(self, height: int, width: int) -> np.ndarray:
        random = self.random
        turned = random.random() < self.variety.turned
        rows, columns = (width, height) if turned else (height, width)
        for _ in range(1000):
            picture = self.picture(random.integers(len(self)))
            if picture is not None and picture.shape[0] >= rows and picture.shape[1] >= columns:
                break
        else:
            raise InputError(f"{self.folder}: hardly any photograph has {columns}x{rows} pixels, as crops do")
        room = min(picture.shape[0] / rows, picture.shape[1] / columns)
        zoom = min(random.choice([1, 1, 1, 1.25, 1.5, 2]), room)
        tall, wide = int(rows * zoom), int(columns * zoom)
        top, left = random.integers(picture.shape[0] - tall + 1), random.integers(picture.shape[1] - wide + 1)
        part = picture[top : top + tall, left : left + wide]
        if (tall, wide) != (rows, columns):
            part = np.asarray(Image.fromarray(part).resize((columns, rows), Image.Resampling.LANCZOS))
        part = part[:, ::-1] if random.random() < 0.5 else part
        if turned:
            part = part.swapaxes(0, 1)[:: random.choice([-1, 1])]
        if random.random() < self.variety.grey:
            part = np.asarray(Image.fromarray(np.ascontiguousarray(part)).convert("L").convert("RGB"))
        return ended(random, part) if random.random() < self.variety.ends else part

    def batch(self, size: int, height: int, width: int | None = None) -> Tensor:
        """float32 (size, 3, height, width) in [-1, 1]; square by default"""
        return self.batch_of_kinds(size, height, width)[0]

    def batch_of_kinds(self, size: int, height: int, width: int | None = None) -> tuple[Tensor, Tensor]:
        """A batch, and which of its crops are drawn, not photographed: bool (size,)"""
        crops, drawn = zip(*(self._crop(height, width or height) for _ in range(size)), strict=True)
        return in_range(torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)), torch.tensor(drawn)


def flat(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """uint8 (height, width, 3) of one grey or colour, or a slope: what a codec must not draw patterns on."""
    colour = random.choice(
        [np.full(3, random.integers(256)), random.integers(0, 256, 3), np.full(3, random.choice([0, 255]))]
    )
    slope = random.uniform(-120, 120, 2) * (random.random() < 0.4)
    rows, columns = np.linspace(0, slope[0], height), np.linspace(0, slope[1], width)
    return (colour + (rows[:, None] + columns)[..., None]).clip(0, 255).astype(np.uint8)


def screen(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """uint8 (height, width, 3) like a part of a screen: windows, lines and words on flat background."""
    light = random.random() < 0.7
    background = random.integers(225, 256) if light else random.integers(0, 60)
    picture = Image.new("RGB", (width, height), (int(background),) * 3)
    draw = ImageDraw.Draw(picture)
    for _ in range(random.integers(0, 4)):
        left, top = int(random.integers(-40, width)), int(random.integers(-40, height))
        corner = left + int(random.integers(30, width)), top + int(random.integers(20, height))
        fill = tuple(random.choice([random.integers(0, 256, 3), np.full(3, random.integers(256))]).tolist())
        draw.rectangle((left, top, *corner), fill, None if random.random() < 0.5 else tuple(255 - c for c in fill))
    row = int(random.integers(0, 30))
    while row < height and random.random() < 0.9:
        size = int(random.integers(9, 28))
        letters = "".join(random.choice(list("abcdefghijklmnopqrstuvwxyz      0123456789.,"), random.integers(4, 60)))
        ink = int(random.integers(0, 110) if light else random.integers(140, 256))
        draw.text((int(random.integers(-20, width // 2)), row), letters, (ink,) * 3, ImageFont.load_default(size))
        row += int(size * random.uniform(1.1, 6))
    return np.asarray(picture)


def ended(random: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    """The end of a picture: what lies beyond it, up to 31 pixels, is its reflection, as in the codec."""
    height, width = crop.shape[:2]
    beyond = [int(random.integers(0, min(31, side // 2))) if random.random() < 0.7 else 0 for side in (height, width)]
    part = crop[: height - beyond[0], : width - beyond[1]]
    return np.pad(part, ((0, beyond[0]), (0, beyond[1]), (0, 0)), "reflect")


class Crops(IterableDataset):
    """Endless random crops uint8 (3, side, side), of photographs that stay where they are: for the workers of a DataLoader."""

    def __init__(self, data: Path, side: int, seed: int) -> None:
        self.photos, self.side, self.seed = Photos(data, seed, memory=0), side, seed

    def __iter__(self) -> Iterator[Tensor]:
        worker = get_worker_info()
        self.photos.random = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            yield torch.from_numpy(np.ascontiguousarray(self.photos.crop(self.side).transpose(2, 0, 1)))


def in_range(pixels: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1]"""
    return pixels.float() / 127.5 - 1


class Thumbnails:
    """Labelled 64x64 thumbnails `<class>/<n>.webp` of a zip, with class names from classes.tsv beside it."""

    TEMPLATES = ("a photo of a {}", "a picture of the {}", "a small photo of a {}", "{}", "a close-up of a {}")

    def __init__(self, folder: Path, seed: int = 0) -> None:
        if not self.at(folder):
            raise InputError(f"{folder} holds no thumbnails: it needs a zip of them and classes.tsv")
        with open(folder / "classes.tsv", encoding="utf-8", newline="") as file:
            self.names = [row[2].split(", ") for row in csv.reader(file, delimiter="\t")]
        with zipfile.ZipFile(next(folder.glob("*.zip"))) as archive:
            entries = [name for name in archive.namelist() if name.endswith(".webp")]
            pictures = [np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in entries]
        self.pictures = np.stack(pictures)  # (N, 64, 64, 3)
        self.labels = np.array([int(name.split("/")[-2]) for name in entries])
        self.random = np.random.default_rng(seed)

    def seed(self, *numbers: int) -> None:
        """From here on batches are those of these numbers."""
        self.random = np.random.default_rng(numbers)

    @staticmethod
    def at(folder: Path) -> bool:
        """Whether there are thumbnails in this folder."""
        return (folder / "classes.tsv").is_file() and any(folder.glob("*.zip"))

    def batch(self, size: int) -> tuple[Tensor, np.ndarray]:
        """float32 (size, 3, 64, 64) in [-1, 1] shifted, zoomed and mirrored at random, and labels (size,)"""
        index = self.random.integers(len(self.labels), size=size)
        crops = []
        for picture in self.pictures[index]:
            window = self.random.integers(40, 65)
            top, left = self.random.integers(0, 65 - window, 2)
            crop = Image.fromarray(picture).resize(
                (64, 64), Image.Resampling.BILINEAR, (left, top, left + window, top + window)
            )
            crops.append(np.asarray(crop)[:, :: self.random.choice([-1, 1])])
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1, self.labels[index]

    def prompts(self, labels: np.ndarray) -> list[str]:
        """One random prompt for each label, with one of the class's names."""
        return [
            self.TEMPLATES[self.random.integers(len(self.TEMPLATES))].format(self.random.choice(self.names[label]))
            for label in labels
        ]
