"""A batch over a cluster of two workers on this machine, one of which is killed."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osdcodec.batch.jobs import plan
from osdcodec.batch.overwrite import Overwrite
from osdcodec.batch.ray import outcomes
from osdcodec.batch.run import run
from osdcodec.batch.tasks import Decoding, Encoding
from osdcodec.errors import Ended, InputError, OsdError
from osdcodec.options import EncodeOptions

pytestmark = pytest.mark.slow

pytest.importorskip("ray")
ROOT = str(Path(__file__).parents[1])


@contextmanager
def running(cpus: int, gpus: int):
    """The address of a cluster on this machine that says it has so many of either."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")]))
        head = {"num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield cluster.address
        finally:
            cluster.shutdown()


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster with room for two workers."""
    with running(cpus=2, gpus=0) as address:
        yield address


def deadly(inner, marks: Path, name: str, when: str, times: int = 1):
    """`inner`, but whoever is at the input of this name dies, so many times, before or after the work."""

    class Deadly:  # in a function, so that it travels by value: workers cannot import the tests
        overwrite = Overwrite.NOTHING

        def __call__(self, source, target, progress=None):
            die = name in source and len(list(marks.iterdir())) < times
            if die:
                (marks / str(os.getpid())).touch()
            if die and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            facts = inner(source, target, progress)
            if die:
                os.kill(os.getpid(), signal.SIGKILL)
            return facts

        def done(self, source, target):
            return inner.done(source, target)

    return Deadly()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_workers_file_is_done_all_the_same(cluster, tmp_path, photo, capsys, when):
    (tmp_path / "in").mkdir()
    (tmp_path / "marks").mkdir()
    for name in "abcdef":
        photo.resize((40 + ord(name), 40)).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"not a picture")
    planned = plan([str(tmp_path / "in")], str(tmp_path / "out"), (".png",), ".osd")
    planned.make_folders()
    jobs = planned.jobs
    work = deadly(
        Encoding(EncodeOptions(lmbda=1.0), "cpu", overwrite=Overwrite.NOTHING), tmp_path / "marks", "c.png", when
    )
    code = run(jobs, work, outcomes=outcomes(jobs, work, address=cluster))
    assert code == 3 and len(list((tmp_path / "marks").iterdir())) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("7 of 7 files: 6 done, 1 failed, ")
    assert [line for line in told if "bad.png" in line][0].startswith("osdc: ")  # noqa: RUF015
    assert sorted(os.listdir(tmp_path / "out")) == [f"{name}.osd" for name in "abcdef"]
    local = Encoding(EncodeOptions(lmbda=1.0), "cpu")
    local(jobs[3][0], str(tmp_path / "again.osd"))
    assert (tmp_path / "again.osd").read_bytes() == Path(jobs[3][1]).read_bytes()

    planned = plan([str(tmp_path / "out")], str(tmp_path / "back"), (".osd",), ".png")
    planned.make_folders()
    jobs = planned.jobs
    work = Decoding({"detail": 0.0}, "cpu")
    assert run(jobs, work, style="quiet", outcomes=outcomes(jobs, work, address=cluster)) == 0
    assert np.asarray(Image.open(tmp_path / "back" / "a.png")).shape == (40, 40 + ord("a"), 3)


def test_a_file_that_kills_every_worker_fails(cluster, tmp_path, photo):
    (tmp_path / "marks").mkdir()
    for name in "ab":
        photo.resize((40, 40)).save(tmp_path / f"{name}.png")
    jobs = [(str(tmp_path / f"{name}.png"), str(tmp_path / f"{name}.osd")) for name in "ab"]
    work = deadly(Encoding(EncodeOptions(), "cpu"), tmp_path / "marks", "a.png", "before", times=99)
    bad, good = outcomes(jobs, work, address=cluster)
    assert "workers died" in str(bad.error) and good.status == "done"


def test_a_signal_ends_the_batch_as_it_ends_any_other(cluster, tmp_path, photo):
    """Ray would put a handler of its own in the place of ours, which leaves at once."""
    photo.resize((40, 40)).save(tmp_path / "a.png")
    jobs = [(str(tmp_path / "a.png"), str(tmp_path / f"{number}.osd")) for number in range(3)]

    def ended(number, frame):
        raise Ended(number)

    before = signal.signal(signal.SIGTERM, ended)
    try:
        found = outcomes(jobs, Encoding(EncodeOptions(), "cpu"), address=cluster)
        assert next(found).status == "done"
        with pytest.raises(Ended) as raised:
            os.kill(os.getpid(), signal.SIGTERM)
        found.close()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert raised.value.exit_code == 143


def claims():
    """Work whose facts are the GPUs that its worker may use; it lasts until a second worker is at it too."""

    class Claims:
        overwrite = Overwrite.EVERYTHING

        def __call__(self, source, target, progress=None):
            import time

            import ray

            Path(target).touch()
            deadline = time.monotonic() + 60
            while len(list(Path(target).parent.glob("*.out"))) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            ids = ray.get_runtime_context().get_accelerator_ids()["GPU"]
            return {"claimed": ids, "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}

    return Claims()


def test_every_worker_claims_a_gpu_of_its_own_where_there_are_any(tmp_path):
    jobs = [(str(tmp_path / f"{name}.in"), str(tmp_path / f"{name}.out")) for name in "abc"]
    with running(cpus=8, gpus=2) as address:
        found = list(outcomes(jobs, claims(), address=address))
    claimed = [outcome.facts["claimed"] for outcome in found]
    assert sorted(claimed[:2]) == [["0"], ["1"]] and claimed[2] in (["0"], ["1"])  # two workers, though eight cores
    assert all(outcome.facts["visible"] == outcome.facts["claimed"][0] for outcome in found)


def test_a_cluster_without_gpus_has_workers_that_claim_none(cluster, tmp_path):
    jobs = [(str(tmp_path / f"{name}.in"), str(tmp_path / f"{name}.out")) for name in "ab"]
    assert [outcome.facts["claimed"] for outcome in outcomes(jobs, claims(), address=cluster)] == [[], []]


def test_a_cluster_that_is_not_there_is_said_at_once():
    with pytest.raises(OsdError, match="no Ray cluster answers"):
        next(outcomes([("a.png", "a.osd")], None, address="127.0.0.1:9"))


def test_streams_are_refused():
    with pytest.raises(InputError, match="standard input"):
        next(outcomes([("-", "-")], None))
