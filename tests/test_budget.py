"""So many bytes for a whole folder."""

import pytest
from test_cli import osdc

from osdcodec.budget import QUALITIES, _size, shares
from osdcodec.errors import TargetError

SIZES = [[100, 200, 300, 400, 500], [1000, 1500, 2500, 3500, 5000]]


def test_shares_use_the_bytes_at_one_quality():
    for total in (1100, 1101, 2000, 3333, 5499):
        found = shares(SIZES, total)
        assert total - 30 <= sum(found) <= total
        assert all(sizes[0] <= share <= sizes[-1] for sizes, share in zip(SIZES, found, strict=True))
    assert shares(SIZES, 10**9) == [500, 5000]
    assert shares([], 5) == []
    with pytest.raises(TargetError, match="at lambda 2 the 2 files take 1,100"):
        shares(SIZES, 1099)


def test_sizes_between_anchors():
    assert [_size(SIZES[0], quality) for quality in QUALITIES] == pytest.approx(SIZES[0])
    assert 100 < _size(SIZES[0], 230) < 200


def test_a_folder_within_so_many_bytes(tmp_path, photo):
    (tmp_path / "in").mkdir()
    for name, width in (("a", 64), ("b", 128), ("c", 200)):
        photo.resize((width, 96)).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    done = osdc("encode", "in", "-o", "out", "--total-bytes", "1.2k", cwd=tmp_path)
    assert done.returncode == 3 and done.stderr.count(b"bad.png") == 1
    total = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert 1050 <= total <= 1200 and len(list((tmp_path / "out").iterdir())) == 3
    (tmp_path / "in" / "bad.png").unlink()
    done = osdc("encode", "in", "-o", "new", "--total-bytes", "90", cwd=tmp_path)
    assert done.returncode == 3 and b"90 bytes are out of reach" in done.stderr and done.stderr.count(b"\n") == 1
    done = osdc("encode", "in", "-o", "new", "--total-bytes", "9k", "--lambda", "1", cwd=tmp_path)
    assert done.returncode == 2
