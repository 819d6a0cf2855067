"""Training pictures: random crops of photographs from tars, labelled thumbnails from a zip."""

import csv
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class Photos:
    """Random crops of the photographs in DIR/*.tar (or image files below DIR), decoded once and kept in memory.

    Memory: about 0.9 MB a photo of 475 x 640.
    """

    SUFFIXES = {".webp", ".png", ".jpg", ".jpeg"}

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.encoded: list[bytes] = []
        for path in sorted(folder.rglob("*")):
            if path.suffix == ".tar":
                with tarfile.open(path) as tar:
                    self.encoded += [tar.extractfile(m).read() for m in tar if Path(m.name).suffix in self.SUFFIXES]
            elif path.suffix in self.SUFFIXES:
                self.encoded.append(path.read_bytes())
        if not self.encoded:
            raise FileNotFoundError(f"no photographs in {folder}: it holds neither tars nor image files")
        self.decoded: list[np.ndarray | None] = [None] * len(self.encoded)
        self.random = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.encoded)

    def picture(self, index: int) -> np.ndarray:
        """uint8 (H, W, 3)"""
        if self.decoded[index] is None:
            self.decoded[index] = np.asarray(Image.open(io.BytesIO(self.encoded[index])).convert("RGB"))
        return self.decoded[index]

    def crop(self, side: int) -> np.ndarray:
        """A random crop uint8 (side, side, 3), sometimes of the picture at a smaller scale, mirrored half of the time."""
        for _ in range(1000):
            picture = self.picture(self.random.integers(len(self)))
            height, width = picture.shape[:2]
            if min(height, width) >= side:
                break
        else:
            raise ValueError(f"hardly any photograph has {side} pixels on both sides")
        zoom = min(self.random.choice([1, 1, 1, 1.25, 1.5, 2]), min(height, width) / side)
        window = int(side * zoom)
        top, left = self.random.integers(height - window + 1), self.random.integers(width - window + 1)
        part = picture[top : top + window, left : left + window]
        if window != side:
            part = np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.LANCZOS))
        return part[:, ::-1] if self.random.random() < 0.5 else part

    def batch(self, size: int, side: int) -> Tensor:
        """float32 (size, 3, side, side) in [-1, 1]"""
        crops = np.stack([self.crop(side) for _ in range(size)])
        return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1


class Thumbnails:
    """Labelled 64x64 thumbnails `<class>/<n>.webp` of a zip, with class names from classes.tsv beside it."""

    TEMPLATES = ("a photo of a {}", "a picture of the {}", "a small photo of a {}", "{}", "a close-up of a {}")

    def __init__(self, folder: Path, seed: int = 0) -> None:
        with open(folder / "classes.tsv", encoding="utf-8", newline="") as file:
            self.names = [row[2].split(", ") for row in csv.reader(file, delimiter="\t")]
        with zipfile.ZipFile(next(folder.glob("*.zip"))) as archive:
            entries = [name for name in archive.namelist() if name.endswith(".webp")]
            pictures = [np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in entries]
        self.pictures = np.stack(pictures)  # (N, 64, 64, 3)
        self.labels = np.array([int(name.split("/")[-2]) for name in entries])
        self.random = np.random.default_rng(seed)

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
