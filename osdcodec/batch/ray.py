"""A batch over the machines of a Ray cluster. They need osdc and its weights, and one file system, or URLs.

Each actor holds a model: one for every GPU of the cluster, else one for every CPU core. When an actor dies, the file that it
was at goes to another one.
"""

import logging
import os
import secrets
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from .. import files, urls
from ..errors import InputError, OsdError
from ..extras import require
from .jobs import Job
from .report import Outcome
from .run import Stop, attempt

TRIES = 3  # of a file whose workers die


def outcomes(
    jobs: Sequence[Job],
    work: Any,
    skip_existing: bool = False,
    address: str | None = None,
    limit: int | None = None,
) -> Iterator[Outcome]:
    """What became of each job, in the order of the jobs. address: of a cluster; None starts one on this machine.

    limit: of actors, by default as many as there is room for. OsdError if Ray is not installed or the cluster not there.
    """
    if any(files.STREAM in job for job in jobs):
        raise InputError("a cluster knows no standard input or output; name files, or leave out `engine` ray")
    jobs = [(_everywhere(source), _everywhere(target)) for source, target in jobs]
    ray = _connected(address)
    try:
        yield from _collected(ray, jobs, work, skip_existing, limit)
    finally:
        ray.shutdown()


def _everywhere(name: str) -> str:
    return name if urls.is_url(name) else os.path.abspath(urls.plain(name))


def _connected(address: str | None) -> Any:
    require("a batch on a cluster", "ray")
    host, _, port = (address or "").rpartition(":")
    if port.isdecimal() and "://" not in host:  # Ray itself would try for minutes
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise OsdError(
                f"no Ray cluster answers at {address} ({error.strerror or error}); check `ray_address`"
            ) from error
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray prints a warning of it
    if not address and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray keeps one in the home folder
    import ray

    ours = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address, include_dashboard=None if address else False, log_to_driver=False, logging_level=logging.ERROR
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise OsdError(f"the Ray cluster {address or 'here'} cannot be used: {error}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ours)  # in whose place Ray has put its own, which leaves what is half-written
    return ray


def _collected(ray: Any, jobs: list[Job], work: Any, skip_existing: bool, limit: int | None) -> Iterator[Outcome]:
    @ray.remote
    class Worker:
        def work(self, job: Job, task: Any) -> Outcome | Stop:
            self.task = getattr(self, "task", None) or task  # the one that came first has the model
            try:
                return attempt(job, self.task, skip_existing)
            except Stop as stop:
                return stop

    room = ray.cluster_resources()
    gpus = int(room.get("GPU", 0))
    count = max(1, min(len(jobs), gpus or int(room.get("CPU", 1)), limit or len(jobs)))
    actor: Any = Worker  # Ray has given it more than the class has
    need = {"num_gpus": 1} if gpus else {"num_cpus": 1}
    task = ray.put(work)
    existed = [files.exists(target) for _, target in jobs]
    idle = [actor.options(**need).remote() for _ in range(count)]
    waiting, tries, next_one = deque(range(len(jobs))), [0] * len(jobs), 0
    busy: dict = {}  # reference to an outcome -> (worker, index)
    finished: dict[int, Outcome] = {}  # outcomes whose turn has not come
    while next_one < len(jobs):
        while waiting and idle:
            worker, index = idle.pop(), waiting.popleft()
            tries[index] += 1
            busy[worker.work.remote(jobs[index], task)] = worker, index
        (reference, *_), _ = ray.wait(list(busy))
        worker, index = busy.pop(reference)
        try:
            outcome = ray.get(reference)
            idle.append(worker)
        except ray.exceptions.RayActorError:
            idle.append(actor.options(**need).remote())
            outcome = _after_death(jobs[index], work, existed[index], tries[index])
        if isinstance(outcome, Stop):
            raise outcome
        if outcome is None:
            waiting.appendleft(index)
            continue
        finished[index] = outcome
        while next_one in finished:
            yield finished.pop(next_one)
            next_one += 1


def _after_death(job: Job, work: Any, existed: bool, tries: int) -> Outcome | None:
    """What is known of a job whose worker died; None: nothing, so it is to be done again."""
    if files.exists(job[1]) and not existed:  # outputs appear whole: it died between writing this one and saying so
        with suppress(OsdError):
            return Outcome(*job, facts=work.done(*job))
    if tries < TRIES:
        return None
    return Outcome(*job, error=InputError(f"{job[0]}: {tries} workers died at it; try it alone"))
