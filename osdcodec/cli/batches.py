"""What `osdc encode` and `osdc decode` do with a plan: rehearse it, or carry it out."""

import os
import re
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from .. import files
from ..batch.inputs import names
from ..batch.jobs import Plan
from ..batch.overwrite import Overwrite, may_replace
from ..batch.report import Style, json_line
from ..console import Progress, complaint, printable
from ..errors import InputError, OsdError, OsdWarning, TargetError
from ..urls import check_folder, parent
from .shared import complain, tell_of_gpu

if TYPE_CHECKING:
    from ..batch.tasks import Encoding, Task

FILES = 2  # in work at the same time: while one is computed another is read and written


def named(
    sources: list[str] | None, files_from: str | None, nul: bool, quiet: bool, comments: bool = False
) -> list[str]:
    """Returns the inputs that were named, and those that a list names; comments: but for its lines that begin with #."""
    found = list(sources or [])
    if quiet and any(re.fullmatch(r"\d+", name) and not os.path.exists(name) for name in found):
        raise typer.BadParameter(
            "-q means --quiet and takes no number; quality is --quality 0 (smallest) to 100 (best)"
        )
    if files_from is not None:
        lines = names(files.read_input(files_from), nul)
        if comments:
            lines = [name for name in lines if not name.startswith("#")]
        if any("\0" in name for name in lines):
            raise InputError(
                f"{files_from}: holds NUL bytes; for a list by `find -print0` give -0, else a list of names"
            )
        if not lines:
            raise InputError(f"{files_from}: names no files; nothing to do")
        found += lines
    if not found:
        raise typer.BadParameter("name an input, or a list of inputs by --files-from")
    return found


def style_of(quiet: bool, verbose: bool, as_json: bool) -> Style:
    """Returns how a batch is reported: --json goes before --quiet, and --quiet before --verbose."""
    if as_json:
        return "json"
    if quiet:
        return "quiet"
    return "verbose" if verbose else "plain"


@dataclass
class Batch:
    """jobs: files in work at the same time; from_list: names came from a list, which may hold any number."""

    planned: Plan
    work: "Task"
    style: Style
    from_list: bool
    skip_existing: bool
    jobs: int | None
    engine: str
    ray_address: str | None

    def __post_init__(self) -> None:
        # What exists, or comes to exist during the work, is not replaced where it is skipped.
        self.work.overwrite = Overwrite.NOTHING if self.skip_existing else self.planned.overwrite
        together = min(self.jobs or FILES, len(self.planned.jobs))
        # Threads of two networks in each other's way take a fifth of the time; files in work share the cores instead.
        if together > 1 and self.engine == "local" and "OMP_NUM_THREADS" not in os.environ:
            here = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
            self.work.threads = max(1, len(here) // together)

    def begin(self, dry_run: bool) -> None:
        """A dry run ends here, and outputs that may not be replaced are refused before any work."""
        if dry_run:
            raise typer.Exit(self._rehearse())
        if not self.skip_existing:
            self.planned.refuse_existing()

    def limit(self, work: "Encoding", total: int) -> None:
        """Shares out so many bytes among the files, less what files take that are there already and stay. TargetError if they are too few."""
        there = [target for _, target in self.planned.jobs if self.skip_existing and files.exists(target)]
        taken = sum(len(files.read_input(target)) for target in there)
        if taken >= total:
            raise TargetError(
                f"{total:,} bytes are out of reach: the files that are there already take {taken:,}; give more"
            )
        new = [job for job in self.planned.jobs if job[1] not in there]
        try:
            with Progress(f"sizes of {len(new)} files", self.style in ("quiet", "json")) as progress:
                work.limit(new, total - taken, self.jobs or FILES, progress.tell)
        except TargetError as error:
            if not taken:
                raise
            raise TargetError(
                f"of {total:,} bytes {taken:,} are taken by files that are there already: {error}"
            ) from error

    def run(self) -> None:
        """Exit with the code of `batch.run`; 3 if a folder could not be read."""
        self.planned.make_folders()
        from ..batch.run import run
        from ..runtime import sees_cuda

        pairs, outcomes = self.planned.jobs, None
        if self.style in ("plain", "verbose"):
            tell_of_gpu()
            if self.planned.note:
                warnings.warn(self.planned.note, OsdWarning, stacklevel=2)
        if self.engine == "ray":
            from ..batch import ray

            outcomes = ray.outcomes(pairs, self.work, self.skip_existing, self.ray_address, self.jobs)
        elif self.style == "verbose":
            sys.stderr.write(f"osdc: the networks run in {self.work.networks()}\n")
        # On a GPU pictures of one size go in batches.
        jobs = self.jobs or (8 if self.work.device != "cpu" and sees_cuda() else FILES)
        told = self.planned.left_out, self.planned.summary()
        code = run(pairs, self.work, jobs, self.style, self.skip_existing, self.from_list or None, outcomes, *told)
        if code := code or 3 * self.planned.unread:
            raise typer.Exit(code)

    def _rehearse(self) -> int:
        """Tells what would be done; the exit code is the one that a run would have, as far as that can be known."""
        lines: list[str] = []
        codes: list[int] = []
        refused = False

        def tell(row: dict[str, Any], text: str) -> None:
            lines.append(json_line(row) if self.style == "json" else printable(text))

        for folder in self.planned.folders:
            check_folder(folder)
        for source, target in self.planned.jobs:
            row: dict[str, Any] = {"input": source, "output": target, "status": "planned"}
            try:
                there = row["exists"] = files.exists(target)
                if there and self.skip_existing:
                    tell(row | {"status": "skipped"}, f"{source} -> {target} (exists, skipped)")
                    continue
                files.check_input(source)
                if not may_replace(target, self.work.overwrite):
                    refused = True
                    tell(row | {"status": "refused"}, f"{source} -> {target} (exists, may not be replaced)")
                    continue
                if parent(target) not in self.planned.folders or os.path.isdir(parent(target)):
                    self.work.check(source, target)
                tell(row, f"{source} -> {target}{' (exists, replaced)' if there else ''}")
            except OsdError as error:
                codes.append(complain(error))
                if self.style == "json":
                    tell(row | {"status": "failed", "error": complaint(error), "exit_code": error.exit_code}, "")
        for name, why in self.planned.left_out:
            tell({"input": name, "status": "left out", "reason": why}, f"{name}: left out, {why}")
        files.write_output(files.STREAM, "".join(f"{line}\n" for line in lines).encode("utf-8"))
        if refused:
            self.planned.refuse_existing()
        if not codes:
            return 3 * self.planned.unread
        return 3 if self.from_list or len(self.planned.jobs) > 1 else codes[0]
