"""Training pictures: random crops of photographs from tars or folders, labelled thumbnails from a zip.

A folder of data holds train/ and, where they are at hand, thumbnails/ and perceptual/; a folder of photographs alone will do.
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
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ..errors import InputError, OsdWarning

MEMORY = 4 * 2**30  # bytes of decoded photographs that are kept


class Photos:
    """Random crops of the photographs in DATA/train, or in DATA itself: of *.tar or of image files in any tree of folders.

    Decoded photographs stay in memory until they fill `memory` bytes, about 0.9 MB each of 475 x 640; files stay on the disk. One
    that cannot be read is left out, with a warning. InputError if there is none.
    """

    SUFFIXES = {".webp", ".png", ".jpg", ".jpeg"}

    def __init__(self, data: Path, seed: int | list[int] = 0, memory: int = MEMORY) -> None:
        folder = data / "train" if (data / "train").is_dir() else data
        self.folder, self.memory = folder, memory
        self.sources: list[bytes | Path] = []
        for path in sorted(folder.rglob("*")):
            if path.suffix == ".tar":
                with tarfile.open(path) as tar:
                    self.sources += [tar.extractfile(m).read() for m in tar if self._is_picture(Path(m.name))]
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

    def crop(self, side: int) -> np.ndarray:
        """A random crop uint8 (side, side, 3), sometimes of the picture at a smaller scale, mirrored half of the time."""
        for _ in range(1000):
            picture = self.picture(self.random.integers(len(self)))
            if picture is not None and min(picture.shape[:2]) >= side:
                break
        else:
            raise InputError(f"{self.folder}: hardly any photograph has {side} pixels on both sides, as crops do")
        height, width = picture.shape[:2]
        zoom = min(self.random.choice([1, 1, 1, 1.25, 1.5, 2]), min(height, width) / side)
        window = int(side * zoom)
        top, left = self.random.integers(height - window + 1), self.random.integers(width - window + 1)
        part = picture[top : top + window, left : left + window]
        if window != side:
            part = np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.LANCZOS))
        return part[:, ::-1] if self.random.random() < 0.5 else part

    def batch(self, size: int, side: int) -> Tensor:
        """float32 (size, 3, side, side) in [-1, 1]"""
        return in_range(torch.from_numpy(np.stack([self.crop(side) for _ in range(size)])).permute(0, 3, 1, 2))


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
