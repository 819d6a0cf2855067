"""What papers do with a picture before they measure on it: `osdc evaluate FOLDER --protocol NAME`."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from ..image import open_image

SIDE = 768  # pixels


def rdeic(picture: Image.Image) -> Image.Image:
    """RGB picture -> 768x768, as RDEIC measures on CLIC2020 and Tecnick (section 4.1): short side to 768, centre crop.

    The paper does not say how it resamples, and its public code holds no script for it. This follows the one function of the authors'
    code that does the same (DiffEIC, utils/image/common.py, for training crops): halved by a box filter as long as both sides keep
    twice 768 pixels, then bicubic. A smaller picture is enlarged.
    """
    while min(picture.size) >= 2 * SIDE:
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    scale = SIDE / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
    return picture.crop((left, top, left + SIDE, top + SIDE))


PROTOCOLS: dict[str, Callable[[Image.Image], Image.Image]] = {"rdeic": rdeic}


def opener(protocol: str | None) -> Callable[[Path], Image.Image]:
    """How a picture is opened by this protocol; without one as it is."""
    return (lambda path: PROTOCOLS[protocol](open_image(path))) if protocol else open_image
