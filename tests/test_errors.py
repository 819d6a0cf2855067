"""The error tree: what a caller may catch, and the exit codes."""

import pickle

import pytest

from osdcodec import console, errors

TREE = {
    "InputError": ("OsdError", 3),
    "FormatError": ("InputError", 3),
    "TargetError": ("OsdError", 3),
    "WeightsError": ("OsdError", 4),
    "PackageError": ("OsdError", 4),
    "FileError": ("OsdError", 5),
    "OutputError": ("FileError", 5),
    "OutputExistsError": ("OutputError", 5),
    "OutputFormatError": ("OutputError", 2),
    "Fault": ("OsdError", 1),
}


def test_the_drawn_tree_is_the_real_one():
    classes = {name: c for name, c in vars(errors).items() if isinstance(c, type) and issubclass(c, errors.OsdError)}
    del classes["OsdError"]
    assert {name: (c.__base__.__name__, c.exit_code) for name, c in classes.items()} == TREE
    assert errors.OsdError.__base__ is Exception
    assert issubclass(errors.OsdWarning, UserWarning)
    for name, (_, code) in TREE.items():
        line = next(line for line in errors.__doc__.splitlines() if f"─ {name} " in line)
        assert f" {code} " in line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.FormatError("does not match", "checksum", 280), "checksum at byte 280: does not match"),
        (errors.FormatError("symbols are left over", "payload"), "payload: symbols are left over"),
        (errors.WeightsError("small: not found"), "small: not found"),
    ],
)
def test_text_survives_pickling(error, text):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(error) == str(again) == text
    assert vars(again) == vars(error)


def test_a_complaint_is_one_line_that_names_the_file():
    told = [
        (
            errors.FormatError("does not match", "checksum", 9),
            "a.osd",
            "osdc: a.osd: checksum at byte 9: does not match",
        ),
        (errors.TargetError("9 bytes are out of reach"), "a.png", "osdc: a.png: 9 bytes are out of reach"),
        (errors.InputError("a.png: not\n a picture"), "a.png", "osdc: a.png: not a picture"),
        (errors.OutputError("b.osd: exists"), "a.png", "osdc: b.osd: exists"),
        (errors.InputError("no"), "-", "osdc: standard input: no"),
        (errors.InputError("a  b\n.png: no\nsuch"), "a  b\n.png", r"osdc: a  b\n.png: no such"),
        (errors.InputError("no"), "a\tb", r"osdc: a\tb: no"),
        (errors.InputError("\udce9\x1b[0m\u200b: no"), None, r"osdc: \xe9\x1b[0m\u200b: no"),
    ]
    for error, source, line in told:
        assert console.complaint(error, source) == line


def test_json_of_any_name_is_utf_8():
    assert console.without_surrogates('"\udce9 é"').encode() == b'"\\udce9 \xc3\xa9"'


def test_arrows_become_ascii_where_there_are_none():
    class Stream:
        encoding = "cp1252"

    assert console.legible("a → b, λ 1", Stream) == "a -> b, lambda 1" and console.legible("é", Stream) == "é"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.WeightsError("no model"), 4, "osdc: no model\n"),
        (FileNotFoundError(2, "No such file or directory", "x.json"), 5, "osdc: x.json: No such file or directory; choose another file\n"),
    ],
)  # fmt: skip
def test_commands_of_python_m_end_in_one_line(error, code, line, capsys):
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        console.run_command(main)
    assert left.value.code == code and capsys.readouterr().err == line
