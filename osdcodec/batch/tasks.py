"""What is done with each file of a batch. It can be sent to another machine, and loads its model where it is first called."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL.Image import Resampling

from .. import files, image
from ..console import label
from ..container import MAX_PIXELS, Osd, unpack, unpack_prefix
from ..container.salvage import salvage
from ..devices import Device
from ..errors import InputError, OsdError, OsdWarning, OutputError, WeightsError
from ..file_info import describe
from ..options import EncodeOptions
from ..profile import PROFILES
from ..rate_control import ANCHORS, Progress, Target, shares
from ..urls import is_url
from .jobs import Job
from .overwrite import Overwrite, may_replace
from .run import Stop


@dataclass
class Task:
    """overwrite: which outputs that exist may be replaced."""

    options: Any = None  # of the class that does the work
    device: Device = "auto"
    weights_dir: Path | None = None
    max_pixels: int = MAX_PIXELS
    overwrite: Overwrite = Overwrite.EVERYTHING
    compiled: bool = False
    threads: int | None = None  # of the networks, for each file

    def __post_init__(self) -> None:
        self.lock, self.loaded = threading.Lock(), None

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name not in ("lock", "loaded")}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self.__post_init__()

    @property
    def model(self) -> Any:
        """Made by the first thread that asks. Stop if it cannot be: no other file would fare better."""
        with self.lock:
            if self.loaded is None:
                try:
                    self.loaded = self.load()
                except OsdError as error:
                    raise Stop(error) from error
        return self.loaded

    def load(self) -> Any:
        raise NotImplementedError

    def networks(self) -> str:
        """What the networks run in, and why, for people. OsdError if it is not installed."""
        from ..runtime import choose

        return str(choose(self.device))

    def __call__(self, source: str, target: str, progress: Progress | None = None) -> dict:
        """The input becomes the output -> what is to be told of it."""
        raise NotImplementedError

    def check(self, source: str, target: str) -> None:
        """InputError if there is no such input, OutputError if the output cannot be written, before the work."""
        files.check_input(source)
        files.check_output(target, may_replace(target, self.overwrite), source)

    def write(self, target: str, data: bytes) -> None:
        """What came to lie there during the work is not replaced either, unless it may be."""
        always = self.overwrite is Overwrite.EVERYTHING
        there = not always and files.exists(target)
        files.write_output(target, data, always or (there and may_replace(target, self.overwrite)))

    def facts(self, data: bytes) -> dict:
        """What is to be told of an .osd file."""
        return dict(describe(data, self.fields(data), self.weights_dir))

    def fields(self, data: bytes) -> Osd:
        """The fields of an .osd file."""
        return unpack(data, self.max_pixels)


@dataclass
class Encoding(Task):
    options: EncodeOptions = field(default_factory=EncodeOptions)
    profile: str = "small"
    limits: dict[str, int] = field(default_factory=dict)  # bytes that the file of an input may have
    held: dict[str, bytes] = field(default_factory=dict)  # what came from streams and URLs, which are read but once

    def load(self) -> Any:
        from ..codec import Encoder

        return Encoder(self.profile, self.device, self.weights_dir, self.compiled, self.threads)

    def networks(self) -> str:
        from ..runtime import choose

        return str(choose(self.device, bool(self.profile in PROFILES and PROFILES[self.profile].pretrained)))

    def __call__(self, source: str, target: str, progress: Progress | None = None) -> dict:
        """A picture -> an .osd file."""
        self.check(source, target)
        given, picture = self.read(source)  # before a model is loaded, which takes longer
        options = replace(self.options, max_pixels=self.max_pixels)
        if source in self.limits:
            options = replace(options, target=Target(max_bytes=self.limits[source]))
        data = self.model.encode_with(options, picture, progress)
        self.write(target, data)
        return self.facts(data) | {"input_bytes": given}

    def limit(self, jobs: list[Job], total: int, threads: int, progress: Progress | None = None) -> None:
        """Shares out `total` bytes among the files of these jobs. What cannot be read gets none: it fails when its turn comes.

        progress hears how many of the files were looked at. TargetError if the bytes are too few.
        """
        chosen = self.options.roi, self.options.progressive, self.options.sizing

        def measured(job: Job) -> list[int] | None:
            with suppress(OsdError), warnings.catch_warnings():
                warnings.simplefilter("ignore", OsdWarning)  # they come when the picture is read again
                if files.is_stream(job[0]) or is_url(job[0]):
                    self.held[job[0]] = files.read_input(job[0])
                return self.model.sizes(self.read(job[0])[1], ANCHORS, *chosen)
            return None

        known_sizes = {}
        with ThreadPoolExecutor(threads) as pool:
            for n, (job, known) in enumerate(zip(jobs, pool.map(measured, jobs), strict=True), 1):
                if known:
                    known_sizes[job[0]] = known
                if progress:
                    progress(n / len(jobs))
        self.limits = dict(zip(known_sizes, shares(list(known_sizes.values()), total), strict=True))

    def read(self, source: str) -> tuple[int, Any]:
        """Bytes of a picture file, and the picture."""
        data = self.held[source] if source in self.held else files.read_input(source)
        chosen = self.options
        reading = chosen.alpha, chosen.icc, chosen.keep_metadata
        return len(data), image.open_image(data, self.max_pixels, *reading, label(source), chosen.strict)

    def facts(self, data: bytes) -> dict:
        facts, aim = super().facts(data), self.options.target
        notes = [aim.note(facts)] if aim else []
        if aim and "original_width" in facts:
            notes.append(f"coded as {facts['width']}x{facts['height']}, which --original-size enlarges when decoding")
        return facts | {"note": note} if (note := "; ".join(filter(None, notes))) else facts

    def done(self, source: str, target: str) -> dict:
        """What is to be told of a pair that was written already."""
        return self.facts(files.read_input(target)) | {"input_bytes": len(files.read_input(source))}


@dataclass
class Decoding(Task):
    """options: those of Decoder.decode."""

    options: dict[str, Any] = field(default_factory=dict)
    format: str | None = None  # suffix of the outputs' format; None: each by its own
    within: tuple[int, int] | None = None  # the largest width and height; larger pictures are shrunk
    # Files for the map of trust: over the grey picture, or its numbers if it ends in .npy, and as lines over the picture.
    trust: str | None = None
    overlay: str | None = None

    def fields(self, data: bytes) -> Osd:
        if self.options.get("salvage"):
            return salvage(data, self.max_pixels)
        read = unpack_prefix if self.options.get("partial") else unpack
        return read(data, self.max_pixels)

    def load(self) -> Any:
        from ..codec import Decoder

        return Decoder(self.device, self.weights_dir, self.compiled, self.threads)

    def check(self, source: str, target: str) -> None:
        image.output_format(target, self.format)
        super().check(source, target)
        named = [target]
        for extra in filter(None, (self.trust, self.overlay)):
            if extra in named:
                raise OutputError(f"{extra}: is named for two outputs; name another file")
            named.append(extra)
            if not self._is_numbers(extra):
                image.output_format(extra)
            files.check_output(extra, self.overwrite is not Overwrite.NOTHING, source)

    def __call__(self, source: str, target: str, progress: Progress | None = None) -> dict:
        """An .osd file -> a picture."""
        self.check(source, target)
        data = files.read_input(source)
        picture, trust, refused = self.decode(data, progress)
        if self.within:
            picture.thumbnail(self.within, Resampling.LANCZOS)
        try:
            written = image.encode_image(picture, image.output_format(target, self.format))
        except OutputError as error:  # which knows no name
            raise OutputError(f"{target}: {error}") from error
        self.write(target, written)
        if trust is not None:
            self.draw(picture, trust)
        if "fault" in picture.info:
            place = "" if files.is_stream(target) else f", as {target}"
            raise InputError(
                f"{label(source)}: damaged ({picture.info['fault']}); what can be read of it is written{place}"
            )
        if refused:
            raise refused
        return self.facts(data) | {"output_bytes": len(written)}

    def decode(self, data: bytes, progress: Progress | None) -> tuple[Any, Any, WeightsError | None]:
        """The picture of a file, its map if one is wanted, and why there is none."""
        options = self.options | {"max_pixels": self.max_pixels, "progress": progress}
        if not (self.trust or self.overlay):
            return self.model.decode(data, **options), None, None
        try:
            return *self.model.decode(data, **options, trust=True), None
        except WeightsError as error:  # if it is about the picture itself, it comes again
            return self.model.decode(data, **options), None, error

    def draw(self, picture: Any, trust: Any) -> None:
        """Writes the files of the map. picture: The decoded picture, as written."""
        from ..trust import drawing

        for target, drawn in ((self.trust, drawing.over_grey), (self.overlay, drawing.hatched)):
            if target is None:
                continue
            if self._is_numbers(target):
                data = drawing.numbers(trust)
            else:
                data = image.encode_image(drawn(picture, trust), image.output_format(target))
            files.write_output(target, data, self.overwrite is not Overwrite.NOTHING)

    def _is_numbers(self, target: str) -> bool:
        return target == self.trust and target.lower().endswith(".npy")

    def done(self, source: str, target: str) -> dict:
        """What is to be told of a pair that was written already."""
        return self.facts(files.read_input(source))
