"""What may be changed of a profile, and what weights files and the browser's decoder say of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import osdcodec
from osdcodec.profile import FIELDS, SMALL, TURBO, changed, changes, optional_parts
from osdcodec.weights import metadata_for

BROWSER = Path(osdcodec.__file__).parent / "web" / "src" / "fields.json"


def test_the_browser_has_the_same_table():
    """Where they differ: write this text into the file."""
    assert BROWSER.read_text("utf-8") == json.dumps({n: f._asdict() for n, f in FIELDS.items()}, indent=1) + "\n"


def test_weights_files_say_what_is_changed_and_what_that_means():
    assert metadata_for(SMALL) == {"profile": "small"}
    told = metadata_for(replace(SMALL, base_codes=64, noise_high=400))
    assert told.keys() == {"profile", "changes", "fields"}
    assert json.loads(told["changes"]) == {"noise_high": 400, "base_codes": 64}
    assert json.loads(told["fields"]) == {
        "noise_high": {"scope": "noise", "least": 1, "most": 999, "off": 0},
        "base_codes": {"scope": "part", "least": 0, "most": 65536, "off": 0},
    }


def test_optional_parts_are_those_that_are_switched_on():
    assert optional_parts(SMALL) == optional_parts(TURBO) == []
    assert optional_parts(replace(SMALL, noise_low=200, decoder_layers=(0, 4, 12, 10, 7), base_factor=3)) == []
    assert optional_parts(replace(SMALL, steps=(1,) * 5)) == []
    several = replace(SMALL, steps=(2, 1, 1, 1, 1), base_codes=64, decoder_semantics=True)
    assert optional_parts(several) == ["steps", "base_codes", "decoder_semantics"]
    assert optional_parts(replace(TURBO, control=20, denoiser_rank=0)) == ["control"]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"colours": 1}, "colours: is not known here"),
        ({"thumb": 128}, "thumb: is not known here"),
        ({"steps": 2}, "steps: needs a list of numbers, not 2"),
        ({"steps": [1, 2]}, "steps: needs 1 or 5 numbers, not 2"),
        ({"steps": [51]}, r"steps: needs whole numbers from 1 to 50, not \[51\]"),
        ({"noise_low": [1]}, r"noise_low: needs one value, not \[1\]"),
        ({"noise_low": 1.5}, "noise_low: needs whole numbers from 1 to 999, not 1.5"),
        ({"decoder_semantics": 1}, "decoder_semantics: needs true or false, not 1"),
        ({"control": 20}, "control: is for a profile on pretrained models, such as turbo"),
    ],
)
def test_a_change_that_cannot_be_is_refused(new, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        changed(SMALL, new)


def test_changes_come_back():
    profile = replace(SMALL, steps=(2,), decoder_semantics=True, transform_layers=(3, 5))
    assert changed(SMALL, json.loads(json.dumps(changes(profile)))) == profile
