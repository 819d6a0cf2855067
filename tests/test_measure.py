"""Curves of checkpoints, and by how much one lies above another."""

import pytest

from osdcodec.training.measure import METRICS, gains, main

pytestmark = pytest.mark.slow


def test_gains_are_differences_at_equal_rate():
    def curve(shift: float, factor: float = 1.0) -> list[dict]:
        points = ((0.02, 22.0), (0.04, 23.0), (0.06, 24.0), (0.08, 25.0), (0.1, 26.0))
        return [{"bpp": b * factor} | dict.fromkeys(METRICS[1:], v + shift) for b, v in points]

    assert gains(curve(0), curve(0)) == pytest.approx(dict.fromkeys(METRICS[1:], 0), abs=1e-9)
    assert gains(curve(1), curve(0))["psnr"] == pytest.approx(1)
    assert gains(curve(0, factor=1.1), curve(0))["psnr"] < -0.1  # the same quality for more bits


def test_a_checkpoint_is_measured_in_a_row_for_each_rate(trained, small_photos, capsys):
    main([str(trained / "model.pt"), str(small_photos), "--every", "9"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["lambda", *METRICS]
    rates = [float(row.split()[1]) for row in rows]
    assert [row.split()[0] for row in rows] == ["2", "1", "0.5", "0.25", "0.1"] and rates == sorted(rates)
    assert all(row.split()[-1] == "nan" for row in rows)  # no perceptual network was given
