"""The version of the installed package."""

from functools import cache


@cache  # each decoded picture names it, and to look it up takes milliseconds
def version() -> str:
    """Returns the version, such as "1.0.0"; "0+unknown" in a source tree that was never installed."""
    from importlib import metadata

    try:
        return metadata.version("osdc")
    except metadata.PackageNotFoundError:
        return "0+unknown"
