"""What one diffusion step saves is measured on decoders that differ in nothing else."""

import pytest

from osdcodec import weights
from osdcodec.maintenance.benchmarks.one_step import main, measure
from osdcodec.runtime import Machine, open_runtime

pytestmark = pytest.mark.slow


class Counted:
    """A runtime that counts how often each of its networks runs."""

    def __init__(self, runtime) -> None:
        self.runtime, self.calls = runtime, []

    def __getattr__(self, verb: str):
        return lambda *inputs: self.calls.append(verb) or getattr(self.runtime, verb)(*inputs)


@pytest.fixture(scope="module")
def small() -> weights.Weights:
    return weights.load("small")


def test_both_decoders_run_the_same_networks_but_for_the_steps(small):
    runtime = Counted(open_runtime(small, Machine("cpu")))
    found = measure(runtime, small.profile, 64, 64, steps=4)
    decoders = " ".join(runtime.calls[1:]).split("synthesise ")[1:]  # the first call made what they start from
    counts = [decoder.split().count("denoise") for decoder in decoders]
    assert counts == [1, 1, 1, 1, 0, 0, 0, 4] and all(decoder.strip().endswith("render") for decoder in decoders)
    assert found["times faster"] == found["decoder of 4 steps"] / found["decoder of 1 step"]
    assert min(found.values()) > 0


def test_the_command_prints_a_table(capsys):
    main(["--steps", "2", "--width", "64", "--height", "64"])
    printed = capsys.readouterr().out
    assert "profile small, 64x64, cpu" in printed and "decoder of 2 steps" in printed and "times faster" in printed
