"""Values of options, checked and read: boxes, sizes, colours, targets. A wrong one ends with 2 and one line."""

import math
import re

import typer

from ..rate_control import Target
from .links import link_of, share_of
from .shared import byte_count


def largest(
    link: str | None, seconds: float | None, packets: int | None, repair: str | None, region: str | None
) -> int | None:
    """Bytes of the largest file that this link carries in this time, or in so many packets, those for repair included."""
    if (link is None) != (seconds is None and packets is None):
        raise typer.BadParameter("--link and --seconds, or --packets, go together")
    if link is None:
        if repair or region:
            raise typer.BadParameter("--repair and --region go with --link")
        return None
    most = link_of(link, region).largest(math.inf if seconds is None else seconds, packets, share_of(repair))
    if not most:
        what = " and ".join(
            f"{n:g} {unit}" for n, unit in ((seconds, "seconds"), (packets, "packets")) if n is not None
        )
        raise typer.BadParameter(f"{what} are too few for a file on {link}")
    return most


def target(
    lmbda: float | None, quality: float | None, bpp: float | None, most: str | None, ms_ssim: float | None
) -> Target | None:
    """What is aimed at in place of a lambda or a quality, None for nothing."""
    if sum(value is not None for value in (lmbda, quality, bpp, most, ms_ssim)) > 1:
        raise typer.BadParameter(
            "give one of --quality, --lambda, --target-bpp, --max-bytes and --target-ms-ssim, for each finds the λ"
        )
    if bpp is None and most is None and ms_ssim is None:
        return None
    try:
        return Target(bpp, None if most is None else byte_count(most), ms_ssim)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def colour(value: str) -> str:
    """Checks "keep", "drop" or a colour."""
    if value not in ("keep", "drop", "white"):
        from PIL import ImageColor

        try:
            ImageColor.getrgb(value)
        except ValueError as error:
            raise typer.BadParameter("give keep, drop, or a colour by name or as #rrggbb") from error
    return value


def boxes(values: list[str] | None) -> list[str] | None:
    """Checks boxes, which stay texts: Typer takes no lists of tuples."""
    for value in values or ():
        box(value)
    return values


def box(value: str) -> tuple[int, int, int, int]:
    """x,y,width,height"""
    numbers = value.split(",")
    if len(numbers) != 4 or not all(number.strip().isdecimal() for number in numbers):
        raise typer.BadParameter(f"{value} is not x,y,width,height in pixels")
    x, y, width, height = map(int, numbers)
    return x, y, width, height


def scale(value: str | None) -> float:
    """50% or 0.5 -> 0.5"""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)(%?)", value or "1")
    share = float(match[1]) if match else 0.0
    if match and match[2]:
        share /= 100
    if not 0 < share <= 1:
        raise typer.BadParameter(f"{value} is no share of the size; give one such as 50% or 0.5")
    return share


def within(resize: str) -> tuple[int, int]:
    """N or WxH -> the largest width and height."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", resize)
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (width and height):
        raise typer.BadParameter(f"{resize} is no size; give the longest side, 1600, or width and height, 1280x720")
    return width, height
