"""What people are told of long work: a line now and then, how far it is, and how long it will take."""

import pytest

from osdcodec.console import Progress


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """A clock that the test sets: its only entry is the time."""
    now = [1000.0]
    monkeypatch.setattr("osdcodec.console.time.monotonic", lambda: now[0])
    return now


def test_a_line_every_ten_seconds_says_what_how_far_and_how_long(clock, capsys):
    with Progress("codec") as progress:
        for second in range(41):
            clock[0] = 1000 + second
            progress.tell(second / 100, f"step {second}")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"osdc: codec: step {n}, {n}%, {left}" for n, left in ((10, "2 min left"), (20, "80 s left"), (30, "70 s left"), (40, "60 s left"))]  # fmt: skip


def test_the_pace_is_that_of_this_run_when_earlier_work_goes_on(clock, capsys):
    with Progress("codec") as progress:
        progress.tell(0.5)
        clock[0] += 10
        progress.tell(0.6, "step 7")
    assert capsys.readouterr().err == "osdc: codec: step 7, 60%, 40 s left\n"


def test_quiet_work_says_nothing_and_needs_no_facts(clock, capsys):
    with Progress("codec", quiet=True) as progress:
        clock[0] += 60
        assert not progress.due()
        progress.tell(0.5, "step 7")
    assert capsys.readouterr().err == ""
