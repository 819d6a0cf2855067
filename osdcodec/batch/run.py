"""Many files, each input to its output, in a few threads: while one picture is computed others are read and written.

What goes wrong with one file does not stop the others.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from .. import files
from ..console import as_fault
from ..errors import Ended, FileError, InputError, OsdError, OutputExistsError
from ..rate_control import Progress
from .jobs import Job
from .report import Outcome, Report, Style

Work = Callable[[str, str, Progress | None], dict]  # (input, output, progress) -> what is to be told of the file


class Stop(Exception):
    """No file of the batch can succeed; `error` says why."""

    def __init__(self, error: OsdError) -> None:
        super().__init__(error)
        self.error = error


def attempt(job: Job, work: Work, skip_existing: bool = False, progress: Progress | None = None) -> Outcome:
    """work(input, output, progress), and what became of it. Stop if no other file can fare better."""
    outcome, start = Outcome(*job), time.perf_counter()
    try:
        if skip_existing and files.exists(outcome.target):
            outcome.skipped = True
        else:
            outcome.facts = work(*job, progress)
    except OutputExistsError as error:  # it came to be there just now: another process may be at the same files
        outcome.skipped, outcome.error = skip_existing, None if skip_existing else error
    except OsdError as error:
        outcome.error = error
    except OSError as error:
        outcome.error = FileError(f"{error.filename or outcome.source}: {error.strerror or error}; choose another file")
    except MemoryError:
        outcome.error = InputError(f"{outcome.source}: too large for this machine's memory; make it smaller")
    except Stop:
        raise
    except Exception as error:  # one file must not take the others with it
        outcome.error = as_fault(error)
    outcome.seconds = time.perf_counter() - start
    return outcome


def run(
    jobs: Sequence[Job],
    work: Work,
    threads: int = 2,
    style: Style = "plain",
    skip_existing: bool = False,
    many: bool | None = None,
    outcomes: Iterator[Outcome] | None = None,
    left_out: Sequence[tuple[str, str]] = (),
    summary: str = "",
) -> int:
    """work(input, output, progress) for each job; returns the exit code.

    That is 0, or 3 if any of `many` (by default: more than one) files failed, or the error's own for a single one.
    Outcomes are told in the order of the jobs. An interrupt ends the process at once, with no output half-written.
    outcomes: those of the jobs where they are not done in threads here. left_out: files below folders that are no jobs, and
    why; summary: the same for people.
    """
    many = len(jobs) > 1 if many is None else many
    report, codes = Report(jobs, style, many, left_out, summary), []
    try:
        with report:
            for outcome in outcomes or _in_threads(jobs, work, threads, skip_existing, report):
                report.tell(outcome)
                codes.append(outcome.error.exit_code if outcome.error else 0)
    except KeyboardInterrupt as interrupt:
        with files.writing:  # what the threads are at would go on for seconds
            sys.stderr.flush()
            os._exit(interrupt.exit_code if isinstance(interrupt, Ended) else 130)
    except Stop as stop:
        raise stop.error from stop
    if not any(codes):
        return 0
    return 3 if many else codes[0]


def _in_threads(
    jobs: Sequence[Job], work: Work, threads: int, skip_existing: bool, report: Report
) -> Iterator[Outcome]:
    def one(job: Job) -> Outcome:
        return attempt(job, work, skip_existing, lambda share: report.advance(job, share))

    # A single file goes through a thread as well: the main one stays free to be interrupted.
    pool = ThreadPoolExecutor(min(threads, len(jobs)))
    try:
        yield from pool.map(one, jobs)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
