"""`python -m osdcodec` is the command `osdc`."""

from .cli import main

main()
