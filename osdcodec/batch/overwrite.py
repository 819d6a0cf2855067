"""Which outputs that exist may be replaced."""

from enum import Enum

from .. import files, urls
from ..container import MAGIC
from ..errors import OsdError
from ..file_info import NOTE


class Overwrite(Enum):
    """What of the outputs that exist may be replaced."""

    NOTHING = "nothing"
    OWN = "own"  # .osd files, and pictures whose comment says that osdc decoded them
    EVERYTHING = "everything"


def policy(wanted: bool | None, otherwise: Overwrite) -> Overwrite:
    """Returns what may be replaced.

    Args:
        wanted: What the user said: True for everything, False for nothing; None says nothing.
        otherwise: What holds if the user said nothing.
    """
    if wanted is None:
        return otherwise
    return Overwrite.EVERYTHING if wanted else Overwrite.NOTHING


def may_replace(target: str, overwrite: Overwrite) -> bool:
    """Returns True if the target is free or may be overwritten.

    A folder counts as free, and so does a URL that gives no answer: `files.check_output` refuses them when their turn comes.
    """
    if overwrite is Overwrite.EVERYTHING:
        return True
    try:
        if not files.exists(target) or urls.is_folder(target):
            return True
    except OsdError:
        return True
    return overwrite is Overwrite.OWN and _is_own(target)


def _is_own(target: str) -> bool:
    """Returns True if osdc wrote this file."""
    try:
        data = files.read_input(target)
    except OsdError:
        return False
    return data.startswith(MAGIC) or NOTE.encode() in data
