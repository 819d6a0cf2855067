"""The manual page of osdc, made from its commands: `python -m osdcodec.cli.man_page` writes osdcodec/cli/osdc.1.

The wheel installs it as share/man/man1/osdc.1. tests/test_man_page.py fails while it is older than the commands.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ..console import run_command

PAGE = Path(__file__).with_name("osdc.1")
COMPLETION = "install_completion", "show_completion"  # whose words are Typer's, and change with it


def escaped(text: str) -> str:
    """Returns text that roff shows as it stands."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def _help(text: str | None) -> str:
    return escaped(inspect.cleandoc(text or "").replace("\b\n", "").replace("\n\n", "\n.PP\n").strip()).replace(
        "\\&.PP", ".PP"
    )


def _parameters(command: Any) -> Iterator[str]:
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name in COMPLETION:
            continue
        names = [*parameter.opts, *parameter.secondary_opts]
        if parameter.param_type_name == "argument":
            names = [(parameter.name or "").upper()]
        meaning = _help(getattr(parameter, "help", None)) or "\\&"
        yield f".TP\n.B {escaped(', '.join(names))}\n{meaning}"


def _commands(command: Any, path: str) -> Iterator[str]:
    """The section of a command, then those of its subcommands."""
    if path != "osdc":
        yield f".SS {escaped(path)}\n{_help(command.help)}"
        yield from _parameters(command)
        if command.epilog:
            yield f".PP\n.nf\n{escaped(inspect.cleandoc(command.epilog).replace(chr(8), ''))}\n.fi"
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from _commands(child, f"{path} {name}")


def page() -> str:
    """Returns the page in roff."""
    from . import app

    command = typer.main.get_command(app)
    parts = [
        ".TH OSDC 1",
        f".SH NAME\nosdc \\- {escaped('an image codec for 0.02 to 0.12 bits per pixel')}",
        ".SH SYNOPSIS\n.B osdc\n.I COMMAND\n[OPTIONS] ...",
        f".SH DESCRIPTION\n{_help(command.help)}",
        ".SH OPTIONS",
        *_parameters(command),
        ".SH COMMANDS",
        *_commands(command, "osdc"),
        ".SH EXIT STATUS\n0 ok, 2 usage, 3 input, 4 weights or a missing package, 5 output.",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def main() -> None:
    PAGE.write_text(page(), "utf-8")
    print(PAGE)


if __name__ == "__main__":
    run_command(main)
