"""Which errors end a command with a message, and with which exit code?

Both kinds are shown without a traceback, because the message names what the reader can correct.
"""


class ReportedError(Exception):
    """Ends a command with one message on standard error and ``exit_code``."""

    exit_code = 1


class UserError(ReportedError):
    """A mistake in what was asked for: a flag, a file, a folder. Raised before anything is started."""

    exit_code = 2


class RunError(ReportedError):
    """Stops a run whose command was correct: a full disk, numbers that are not finite, damaged files."""


LONGEST = 600
"""Names with more characters than this are shown without their middle."""


def printable(name: object) -> str:
    """The name of a file as one line that any terminal can show: a byte that is not UTF-8 is written as
    ``\\xff``, and a character that is not printable as its escape, such as ``\\n``."""
    shown = "".join(c if c.isprintable() else _escaped(c) for c in str(name))
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]}...{shown[-LONGEST // 2 :]}"


def _escaped(character: str) -> str:
    # Python represents a byte that is not UTF-8 by a character from this range (surrogateescape).
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
