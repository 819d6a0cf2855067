"""Many files, each input to its output, in a few threads: while one picture is computed others are read and written.

What goes wrong with one file does not stop the others. How it goes is told on stderr: by a bar on a terminal, else by a
line for each file; or in JSON lines.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from . import files
from .errors import FileError, InputError, OsdError, complaint

Progress = Callable[[float], None]  # share of the work on a large picture that is done, 0 .. 1
Work = Callable[[str, str, Progress | None], dict]  # (input, output, progress) -> what is to be told of the file
Style = Literal["plain", "quiet", "json"]


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
        return "failed" if self.error else "skipped" if self.skipped else "done"

    @property
    def note(self) -> str:
        return self.facts.get("note", "")

    def line(self) -> str:
        """For people."""
        if self.error:
            return complaint(self.error, self.source)
        if self.skipped:
            return f"{self.target}: exists, skipped"
        told = [shown.format(self.facts[key]) for key, shown in _SHOWN.items() if key in self.facts]
        told += [f"{self.seconds:.2f} s", *([self.note] if self.note else [])]
        return f"{self.source} -> {self.target}: {', '.join(told)}"

    def json(self) -> str:
        """For machines."""
        told = {"input": self.source, "output": self.target, "status": self.status, "seconds": round(self.seconds, 3)}
        if self.error:
            told |= {"error": complaint(self.error, self.source), "exit_code": self.error.exit_code}
        return json.dumps(told | self.facts, ensure_ascii=False)


_SHOWN = {"bytes": "{:,} bytes", "bpp": "{:.4f} bpp", "lambda": "lambda {:.3g}"}


class Stop(Exception):
    """No file of the batch can succeed; `error` says why."""

    def __init__(self, error: OsdError) -> None:
        super().__init__(error)
        self.error = error


def attempt(job: tuple[str, str], work: Work, skip_existing: bool = False, progress: Progress | None = None) -> Outcome:
    """work(input, output, progress), and what became of it. Stop if no other file can fare better."""
    outcome, start = Outcome(*job), time.perf_counter()
    try:
        if skip_existing and files.exists(outcome.target):
            outcome.skipped = True
        else:
            outcome.facts = work(*job, progress)
    except OsdError as error:
        outcome.error = error
    except OSError as error:
        outcome.error = FileError(f"{outcome.source}: {error.strerror or error}; choose another file")
    except MemoryError:
        outcome.error = InputError(f"{outcome.source}: too large for this machine's memory; make it smaller")
    outcome.seconds = time.perf_counter() - start
    return outcome


def run(
    jobs: Sequence[tuple[str, str]],
    work: Work,
    threads: int = 2,
    style: Style = "plain",
    skip_existing: bool = False,
    many: bool | None = None,
    outcomes: Iterator[Outcome] | None = None,
) -> int:
    """work(input, output, progress) for each job; returns the exit code.

    That is 0, or 3 if any of `many` (by default: more than one) files failed, or the error's own for a single one.
    Outcomes are told in the order of the jobs. An interrupt ends the process at once, with no output half-written.
    outcomes: those of the jobs where they are not done in threads here.
    """
    many = len(jobs) > 1 if many is None else many
    report, codes = Report(jobs, style, many), []
    try:
        with report:
            for outcome in outcomes or _in_threads(jobs, work, threads, skip_existing, report):
                report.tell(outcome)
                codes.append(outcome.error.exit_code if outcome.error else 0)
    except KeyboardInterrupt:
        with files.writing:  # what the threads are at would go on for seconds
            sys.stderr.flush()
            os._exit(130)
    except Stop as stop:
        raise stop.error from stop
    return (3 if many else codes[0]) if any(codes) else 0


def _in_threads(
    jobs: Sequence[tuple[str, str]], work: Work, threads: int, skip_existing: bool, report: "Report"
) -> Iterator[Outcome]:
    def one(job: tuple[str, str]) -> Outcome:
        return attempt(job, work, skip_existing, lambda share: report.advance(job, share))

    # A single file goes through a thread as well: the main one stays free to be interrupted.
    pool = ThreadPoolExecutor(min(threads, len(jobs)))
    try:
        yield from pool.map(one, jobs)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class Report:
    """Tells how a batch goes. A single file is silent, but for a bar if it is large and stderr is a terminal."""

    def __init__(self, jobs: Sequence[tuple[str, str]], style: Style, many: bool) -> None:
        self.jobs, self.style, self.many = jobs, style, many
        self.counts = {"done": 0, "skipped": 0, "failed": 0}
        self.shares: dict[tuple[str, str], float] = {}  # of the files in work
        self.bar = None
        self.lock = threading.Lock()
        # Where stdout carries data, or nobody can tell, the JSON lines go to stderr.
        self.json_to_stderr = any(target == files.STREAM for _, target in jobs)

    def __enter__(self) -> "Report":
        if self.many:
            self._show_bar()
        return self

    def __exit__(self, failure: type | None, *_: object) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None
        silent = self.style == "quiet" or (self.style == "json" and self.json_to_stderr)
        if self.many and not silent and failure in (None, KeyboardInterrupt):
            told = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
            self._print(f"{sum(self.counts.values())} of {len(self.jobs)} files: {told or 'nothing done'}")

    def advance(self, job: tuple[str, str], share: float) -> None:
        """Called from the threads: so much of a large picture is done."""
        with self.lock:
            self.shares[job] = share
            self._show_bar()
        self._move()

    def tell(self, outcome: Outcome) -> None:
        self.counts[outcome.status] += 1
        self.shares.pop((outcome.source, outcome.target), None)
        if self.style == "json" and not self.json_to_stderr:
            files.write_output(files.STREAM, f"{outcome.json()}\n".encode())
        if self.style == "json" and self.json_to_stderr:
            self._print(outcome.json())
        elif outcome.error or (self.style == "plain" and (outcome.note or (self.many and not self.bar))):
            self._print(outcome.line() if self.many or outcome.error else f"osdc: {outcome.source}: {outcome.note}")
        self._move()

    def _show_bar(self) -> None:
        if self.bar or self.style != "plain" or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        name = TextColumn("{task.description}", markup=False)
        columns = [name, BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeRemainingColumn()]
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.bar.add_task(self.jobs[0][0], total=len(self.jobs))
        self.bar.start()

    def _move(self) -> None:
        if self.bar:
            done = sum(self.counts.values())
            name = f"{done} of {len(self.jobs)} files" if self.many else self.jobs[0][0]
            self.bar.update(self.bar.task_ids[0], completed=done + sum(list(self.shares.values())), description=name)

    def _print(self, line: str) -> None:
        try:
            if self.bar:
                self.bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
            else:
                print(line, file=sys.stderr, flush=True)
        except BrokenPipeError:  # nobody reads what is told; the work goes on
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115
