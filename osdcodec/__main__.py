"""The command `osdc`, which is `python -m osdcodec` too."""

import signal


def main() -> None:
    """Until the command is imported, which takes a moment, an interrupt ends the process without a word."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main as command

    command()


if __name__ == "__main__":
    main()
