"""The error tree: what a caller may catch, and the exit codes."""

import pickle

import pytest

from osdcodec import errors

TREE = {
    "InputError": ("OsdError", 3),
    "FormatError": ("InputError", 3),
    "TargetError": ("OsdError", 3),
    "WeightsError": ("OsdError", 4),
    "FileError": ("OsdError", 5),
    "OutputError": ("FileError", 5),
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
