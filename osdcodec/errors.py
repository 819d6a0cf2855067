"""The errors of osdc, each one line that says what, where and what to do.

    OsdError               exit code 3
     ├─ InputError                   3   missing, not a picture, damaged, too large
     │   └─ FormatError              3   not a valid .osd file; names the field and its offset
     ├─ TargetError                  3   the asked-for size is out of reach
     ├─ WeightsError                 4   missing, not the ones listed, unknown model id or profile
     ├─ PackageError                 4   a package of an extra is not installed
     ├─ FileError                    5   reading failed
     │   └─ OutputError              5   writing failed
     │       ├─ OutputExistsError    5   the output exists and must stay
     │       └─ OutputFormatError    2   no format that can be written
     └─ Fault                        1   a bug of osdc itself

The exit codes are those of the command line; 2 is a wrong usage and 130 an interrupt (SIGTERM 143, SIGHUP 129). What is no error, but not quite
what was asked for either, is an OsdWarning.
"""


class OsdWarning(UserWarning):
    """Something of the picture was left out; the rest was done."""


class OsdError(Exception):
    """Root of all errors that osdc raises on purpose."""

    exit_code = 3


class InputError(OsdError):
    """The input cannot be used."""


class FormatError(InputError):
    """The bytes are not a valid .osd file.

    Args:
        message: What is wrong, for people.
        field: Its name in the specification.
        offset: Its first byte in the file; None if it has no place of its own.
    """

    def __init__(self, message: str, field: str, offset: int | None = None) -> None:
        super().__init__(message, field, offset)  # all three, so that the error survives pickling
        self.message, self.field, self.offset = message, field, offset

    def __str__(self) -> str:
        where = self.field if self.offset is None else f"{self.field} at byte {self.offset}"
        return f"{where}: {self.message}"


class TargetError(OsdError):
    """No quality of the model reaches the asked-for size.

    Args:
        message: What is wrong, for people.
        least: Bytes of the smallest file; None if it is not known.
    """

    def __init__(self, message: str, least: int | None = None) -> None:
        super().__init__(message)
        self.least = least


class WeightsError(OsdError):
    """The weights are missing or not the ones that the file or the profile names."""

    exit_code = 4


class PackageError(OsdError):
    """A package that the default install leaves out is needed, and not installed."""

    exit_code = 4


class FileError(OsdError):
    """The system refused to read or write a file."""

    exit_code = 5


class OutputError(FileError):
    """The output could not be written."""


class OutputExistsError(OutputError):
    """The output exists and must not be overwritten."""


class OutputFormatError(OutputError):
    """The name of the output stands for no format that can be written."""

    exit_code = 2


class Fault(OsdError):
    """A bug: an exception of another kind, reported in one line."""

    exit_code = 1


class Ended(KeyboardInterrupt):
    """What a signal that asks the process to end becomes: nothing is left half-written then either."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.exit_code = 128 + signal
