"""Which input becomes which output."""

import os
from contextlib import nullcontext

import pytest

from osdcodec.batch.inputs import names
from osdcodec.batch.jobs import plan
from osdcodec.container import MAGIC
from osdcodec.errors import InputError, OutputError
from osdcodec.file_info import NOTE


def jobs(*arguments, **options) -> list[tuple[str, str]]:
    planned = plan(*arguments, **options)
    planned.make_folders()
    return planned.jobs


def test_jobs_of_one_file(tmp_path):
    source = str(tmp_path / "a.b.png")
    assert jobs([source], None, (".png",), ".osd") == [(source, str(tmp_path / "a.b.osd"))]
    assert jobs([source], "x.y", (".png",), ".osd") == [(source, "x.y")]
    assert jobs([source], "-", (".png",), ".osd") == [(source, "-")]
    assert jobs([source], str(tmp_path), (".png",), ".osd") == [(source, str(tmp_path / "a.b.osd"))]
    assert jobs(["-"], None, (".png",), ".osd") == [("-", "-")]
    assert jobs(["-"], "x", (".png",), ".osd") == [("-", "x")]


def test_jobs_of_a_folder(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out" / "deep"
    folder.mkdir()
    with pytest.raises(InputError, match="no file in this folder"):
        jobs([str(folder)], str(out), (".png", ".jpg"), ".osd")
    assert not out.exists()
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (folder / name).touch()
    (folder / "folder.png").mkdir()
    pairs = [(str(folder / name), str(out / f"{name[0]}.osd")) for name in ("a.jpg", "b.PNG")]
    assert jobs([str(folder)], str(out), (".png", ".jpg"), ".osd") == pairs
    assert out.is_dir()
    assert jobs([str(folder)], None, (".png",), ".osd") == [(str(folder / "b.PNG"), str(folder / "b.osd"))]
    with pytest.raises(OutputError):
        jobs([str(folder)], "-", (".png",), ".osd")
    with pytest.raises(OutputError, match="cannot be made"):
        jobs([str(folder)], str(folder / "notes.txt"), (".png",), ".osd")


def test_jobs_of_several_inputs_keep_the_tree_below_each_folder(tmp_path):
    for name in ("one/deep/er/a.png", "one/b.png", "two/a.png", "c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sources = [str(tmp_path / name) for name in ("c.jpg", "one", "two")]
    pairs = jobs(sources, str(tmp_path / "out"), (".png",), ".osd")
    told = [tuple(os.path.relpath(name, tmp_path) for name in pair) for pair in pairs]
    assert told == [
        ("c.jpg", "out/c.osd"),
        ("one/b.png", "out/b.osd"),
        ("one/deep/er/a.png", "out/deep/er/a.osd"),
        ("two/a.png", "out/a.osd"),
    ]
    assert (tmp_path / "out/deep/er").is_dir()
    beside = jobs(sources, None, (".png",), ".osd")
    assert [target for _, target in beside] == [os.path.splitext(source)[0] + ".osd" for source, _ in pairs]
    with pytest.raises(OutputError, match="only one picture"):
        jobs(sources, "-", (".png",), ".osd")
    with pytest.raises(InputError, match="only input"):
        jobs([*sources, "-"], str(tmp_path / "out"), (".png",), ".osd")


def test_two_inputs_for_one_output_stop_everything(tmp_path):
    for name in ("a.png", "a.jpg", "deep/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for given in (("a.png", "deep"), ("a.png", "deep/a.png")):
        with pytest.raises(OutputError, match="would both become"):
            jobs([str(tmp_path / name) for name in given], str(tmp_path / "out"), (".png",), ".osd")
        assert not (tmp_path / "out").exists()
    twice = [str(tmp_path / "a.png"), str(tmp_path / "deep" / ".." / "a.png"), f"{tmp_path}/./a.png"]
    assert len(jobs([twice[0], twice[2]], str(tmp_path / "out"), (".png",), ".osd")) == 1


def test_one_file_into_a_folder_to_be_made(tmp_path):
    pairs = jobs([str(tmp_path / "a.png")], f"{tmp_path}/new/", (".png",), ".osd")
    assert pairs == [(str(tmp_path / "a.png"), str(tmp_path / "new" / "a.osd"))] and (tmp_path / "new").is_dir()
    pairs = jobs([str(tmp_path / "a.png")], str(tmp_path / "other"), (".png",), ".osd", many=True)
    assert pairs[0][1] == str(tmp_path / "other" / "a.osd") and (tmp_path / "other").is_dir()


def test_names_in_lists():
    assert names(b"a b.png\n\n c.png\r\n") == ["a b.png", " c.png"]
    assert names(b"a\nb.png\0\xff.png\0", nul=True) == ["a\nb.png", os.fsdecode(b"\xff.png")]
    wanted = ["é.png", "b.png"]
    for encoding in ("utf-8-sig", "utf-16"):  # lists from Windows begin with a mark
        assert names("é.png\r\nb.png\r\n".encode(encoding)) == wanted


def test_inputs_that_differ_in_their_suffixes_keep_them(tmp_path):
    for name in ("IMG_1.jpg", "IMG_1.png", "IMG_2.jpg"):
        (tmp_path / name).touch()
    planned = plan([str(tmp_path)], "out", (".png", ".jpg"), ".osd")
    assert [target for _, target in planned.jobs] == ["out/IMG_1.jpg.osd", "out/IMG_1.png.osd", "out/IMG_2.osd"]
    assert planned.note.startswith("2 inputs differ in their suffixes only") and "out/IMG_1.jpg.osd" in planned.note
    for name, target in (
        ("IMG_1.jpg", "IMG_1.jpg.osd"),
        ("IMG_2.jpg", "IMG_2.osd"),
    ):  # the same where it is named alone
        alone = plan([str(tmp_path / name)], None, (".png", ".jpg"), ".osd")
        assert alone.jobs == [(str(tmp_path / name), str(tmp_path / target))] and bool(alone.note) == ("1" in name)
        assert plan([str(tmp_path / name)], "out/", (".png", ".jpg"), ".osd").jobs[0][1] == f"out/{target}"
        assert plan([str(tmp_path / name)], "out", (".png", ".jpg"), ".osd", many=True).jobs[0][1] == f"out/{target}"
    assert plan([str(tmp_path / "IMG_1.jpg")], "x.osd", (".png", ".jpg"), ".osd").jobs[0][1] == "x.osd"
    (tmp_path / "IMG_1.jpg.png").touch()  # whose output has that name already
    with pytest.raises(OutputError, match="would both become"):
        plan([str(tmp_path)], "out", (".png", ".jpg"), ".osd")


def test_a_picture_that_was_decoded_does_not_rename_its_original(tmp_path):
    """photo.png -> photo.osd -> photo.jpg; and photo.png once more."""
    (tmp_path / "photo.png").write_bytes(b"original")
    (tmp_path / "photo.jpg").write_bytes(b"x" + NOTE.encode())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.webp").touch()
    wanted = {"photo.png": "photo.osd", "photo.jpg": "photo.jpg.osd"}
    for name, target in wanted.items():
        assert jobs([str(tmp_path / name)], None, (".png", ".jpg"), ".osd") == [
            (str(tmp_path / name), str(tmp_path / target))
        ]
    assert {
        os.path.basename(s): os.path.basename(t) for s, t in plan([str(tmp_path)], "o", (".png", ".jpg"), ".osd").jobs
    } == wanted
    with pytest.raises(OutputError, match="would both become"):  # of two folders: names must not hang on the company
        plan([str(tmp_path / "photo.png"), str(tmp_path / "other" / "photo.webp")], "o", (".png", ".webp"), ".osd")


def test_what_is_left_out_of_a_folder_is_told(tmp_path):
    for name in ("a.png", "b.HEIC", "c.txt", "d.txt", "notes", "._a.png", "a.osd"):
        (tmp_path / name).touch()
    planned = plan([str(tmp_path)], None, (".png",), ".osd", reasons={".heic": "its package is missing"})
    assert [os.path.basename(source) for source, _ in planned.jobs] == ["a.png"]
    assert sorted(os.path.basename(name) for name, _ in planned.left_out) == ["b.HEIC", "c.txt", "d.txt", "notes"]
    assert planned.summary() == (
        "left out: 1 .heic (its package is missing), 2 .txt (unknown suffix), 1 without suffix (unknown suffix)"
    )
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"no file in this folder ends in \.png; left out: 1 \.heic"):
        plan([str(tmp_path)], None, (".png",), ".osd", reasons={".heic": "its package is missing"})


def test_only_names_that_somebody_chose_are_replaced(tmp_path):
    (tmp_path / "in").mkdir()
    source, folder = str(tmp_path / "a.png"), str(tmp_path / "in")
    for path in (source, f"{folder}/b.png", f"{folder}/b.osd", f"{tmp_path}/a.osd"):
        open(path, "w").close()

    def replaces(*arguments, **options) -> bool:
        return plan(*arguments, (".png",), ".osd", **options).replaces

    assert replaces([source], "a.osd") and replaces([source], "-") and replaces(["-"], None)
    assert replaces([folder], str(tmp_path / "out")) and replaces([source], str(tmp_path / "in"))
    assert not replaces([source], None) and not replaces([folder], None)
    assert not replaces([folder], folder) and not replaces([source], str(tmp_path))  # the default names, said otherwise
    assert replaces([source], None, overwrite=True) and not replaces([source], "a.osd", overwrite=False)

    for own, replaced in ((MAGIC, True), (f"osdc 1: {NOTE}".encode(), True), (b"a picture of somebody's", False)):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "b.osd").write_bytes(own)  # in a folder that was chosen, a name that was not
        planned = plan([folder], str(tmp_path / "out"), (".png",), ".osd")
        one = plan([f"{folder}/b.png"], str(tmp_path / "out"), (".png",), ".osd")
        named = plan([f"{folder}/b.png"], str(tmp_path / "out" / "b.osd"), (".png",), ".osd")
        told = plan([folder], str(tmp_path / "out"), (".png",), ".osd", overwrite=True)
        for each in (planned, one):
            with nullcontext() if replaced else pytest.raises(OutputError, match=r"b\.osd: exists"):
                each.refuse_existing()
        named.refuse_existing()
        told.refuse_existing()

    plan([source], "a.osd", (".png",), ".osd").refuse_existing()
    with pytest.raises(OutputError, match=r"a\.osd: exists; name another file with -o, or replace it by `overwrite`"):
        plan([source], None, (".png",), ".osd").refuse_existing()
    (tmp_path / "in" / "c.png").touch()
    (tmp_path / "in" / "c.osd").touch()
    with pytest.raises(OutputError, match=r"b\.osd: exists, and so do 1 more .* -o, .*`skip_existing`, .*`overwrite`"):
        plan([folder], None, (".png",), ".osd").refuse_existing()


def test_streams_have_no_default_name(tmp_path):
    pipe = str(tmp_path / "pipe.png")
    os.mkfifo(pipe)
    assert jobs(["/dev/stdin"], None, (".png",), ".osd") == [("-", "-")]
    assert jobs(["a.png"], "/dev/stdout", (".png",), ".osd") == [("a.png", "-")]
    assert jobs([pipe], None, (".png",), ".osd") == [(pipe, "-")]
    assert jobs(["/dev/fd/9"], "x.osd", (".png",), ".osd") == [("/dev/fd/9", "x.osd")]
    with pytest.raises(OutputError, match="or a pipe"):
        plan([str(tmp_path)], pipe, (".png",), ".osd")


def test_empty_names():
    with pytest.raises(InputError, match="without a name"):
        plan(["a.png", ""], "out", (".png",), ".osd")
    with pytest.raises(OutputError, match="without a name"):
        plan(["a.png"], "", (".png",), ".osd")
