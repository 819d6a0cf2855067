"""What is told of a batch, on stderr: by a bar on a terminal, else by a line for each file; or in JSON lines."""

import json
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .. import files
from ..console import Progress, complaint, label, legible, printable, without_surrogates
from ..errors import OsdError
from .jobs import Job

Style = Literal["plain", "verbose", "quiet", "json"]


@dataclass
class Outcome:
    """What became of one file."""

    source: str
    target: str
    seconds: float = 0.0
    facts: dict = field(default_factory=dict)  # bytes, bpp, lambda, …; note: a remark for people
    error: OsdError | None = None
    skipped: bool = False

    @property
    def status(self) -> str:
        if self.error:
            return "failed"
        return "skipped" if self.skipped else "done"

    @property
    def note(self) -> str:
        return self.facts.get("note", "")

    def line(self) -> str:
        """For people."""
        if self.error:
            return complaint(self.error, self.source)
        if self.skipped:
            return f"{self.target}: exists, skipped"
        parts = [shown.format(self.facts[key]) for key, shown in _SHOWN.items() if key in self.facts]
        parts += [f"{self.seconds:.2f} s", *([self.note] if self.note else [])]
        return f"{self.source} → {self.target}: {', '.join(parts)}"

    def brief(self) -> str:
        """For a person who gave one file."""
        facts, parts = self.facts, []
        if "input_bytes" in facts:
            parts = [
                change(facts["input_bytes"], facts["bytes"]),
                f"{facts['bpp']:.3f} bpp",
                f"λ {facts['lambda']:.3g}",
            ]
        elif "output_bytes" in facts:
            parts = [f"{size(facts['bytes'])} → {self.target} {size(facts['output_bytes'])}"]
        return f"{label(self.source)} {', '.join(parts + ([self.note] if self.note else []))}"

    def json(self) -> str:
        """For machines."""
        row = {"input": self.source, "output": self.target, "status": self.status, "seconds": round(self.seconds, 3)}
        if self.error:
            row |= {"error": complaint(self.error, self.source), "exit_code": self.error.exit_code}
        return json_line(row | self.facts)


_SHOWN = {"bytes": "{:,} bytes", "bpp": "{:.4f} bpp", "lambda": "λ {:.3g}"}


def json_line(row: dict) -> str:
    return without_surrogates(json.dumps(row, ensure_ascii=False))


def size(count: int) -> str:
    """A number of bytes as people say it; k is 1000."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 1000)):
        if count >= 0.9995 * factor:
            return f"{count / factor:.{1 if count < 9.95 * factor else 0}f} {unit}"
    return f"{count} bytes"


def change(before: int, after: int) -> str:
    share = 100 * after / max(1, before)
    return f"{size(before)} → {size(after)} ({share:.{2 if share < 10 else 0}f} %)"


class Report:
    """Tells how a batch goes. A single file is silent unless stderr is a terminal, or more is asked for."""

    def __init__(
        self,
        jobs: Sequence[Job],
        style: Style,
        many: bool,
        left_out: Sequence[tuple[str, str]] = (),
        summary: str = "",
    ) -> None:
        self.jobs, self.style, self.many, self.left_out, self.summary = jobs, style, many, left_out, summary
        self.counts = {"done": 0, "skipped": 0, "failed": 0}
        self.sums = {"input_bytes": 0, "bytes": 0, "pixels": 0}
        self.shares: dict[Job, float] = {}  # of the files in work
        self.bar: Any = None
        self.lock = threading.Lock()
        title = f"{len(jobs)} files"
        if not many:
            title = label(jobs[0][0]) if jobs else ""
        self.pace = Progress(title, quiet=style in ("quiet", "json"))  # where there is no bar, but work that is long
        # Where stdout carries data, or may carry it, the JSON lines go to stderr.
        self.json_to_stderr = any(target == files.STREAM for _, target in jobs)

    def __enter__(self) -> "Report":
        if self.many:
            self._show_bar()
        return self

    def __exit__(self, failure: type | None, *_: object) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None
        if self.style == "json":
            for name, why in self.left_out:
                self._tell_json(json_line({"input": name, "status": "left out", "reason": why}))
        silent = self.style == "quiet" or (self.style == "json" and self.json_to_stderr)
        if (self.many or self.left_out) and not silent and (failure is None or issubclass(failure, KeyboardInterrupt)):
            counts = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
            parts = [f"{sum(self.counts.values())} of {len(self.jobs)} files: {counts or 'nothing done'}"]
            if self.sums["input_bytes"]:
                parts += [change(self.sums["input_bytes"], self.sums["bytes"])]
                parts += [f"{8 * self.sums['bytes'] / self.sums['pixels']:.3f} bpp"]
            self._print("; ".join([", ".join(parts), *([self.summary] if self.summary else [])]))

    def advance(self, job: Job, share: float) -> None:
        """Called from the threads: so much of the work on a picture is done."""
        with self.lock:
            self.shares[job] = share
            self._show_bar()
            if not self.bar:
                done = sum(self.counts.values()) + sum(self.shares.values())
                self.pace.tell(done / len(self.jobs))
        self._move()

    def tell(self, outcome: Outcome) -> None:
        self.counts[outcome.status] += 1
        self.shares.pop((outcome.source, outcome.target), None)
        facts = outcome.facts
        if "input_bytes" in facts:
            self.sums["pixels"] += facts["width"] * facts["height"]
            for key in ("input_bytes", "bytes"):
                self.sums[key] += facts[key]
        if self.style == "json":
            self._tell_json(outcome.json())
        if (
            (outcome.error and (self.style != "json" or not self.json_to_stderr))
            or self.style == "verbose"
            or (self.style == "plain" and self.many and (outcome.note or not self.bar))
        ):
            self._print(outcome.line())
        elif self.style == "plain" and not self.many:
            if sys.stderr.isatty() and facts:
                self._print(outcome.brief())
            elif outcome.note or outcome.skipped:
                self._print(f"osdc: {outcome.line() if outcome.skipped else f'{outcome.source}: {outcome.note}'}")
        self._move()

    def _tell_json(self, line: str) -> None:
        if self.json_to_stderr:
            self._print(line, escape=False)
        else:
            files.write_output(files.STREAM, f"{line}\n".encode())

    def _show_bar(self) -> None:
        if self.bar or self.style != "plain" or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        name = TextColumn("{task.description}", markup=False)
        columns = [name, BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeRemainingColumn()]
        self.bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self.bar.add_task(printable(self.jobs[0][0]), total=len(self.jobs))
        self.bar.start()

    def _move(self) -> None:
        if self.bar:
            done = sum(self.counts.values())
            name = f"{done} of {len(self.jobs)} files" if self.many else printable(self.jobs[0][0])
            self.bar.update(self.bar.task_ids[0], completed=done + sum(list(self.shares.values())), description=name)

    def _print(self, line: str, escape: bool = True) -> None:
        line = legible(printable(line) if escape else line, sys.stderr)
        try:
            if self.bar:
                self.bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
            else:
                sys.stderr.write(f"{line}\n")  # at once: a warning of another thread would come between text and end
                sys.stderr.flush()
        except BrokenPipeError:  # nobody reads what is told; the work goes on
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115
