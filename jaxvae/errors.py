"""What is said when something cannot work, and with which exit code?

Both kinds are shown without a traceback: whoever reads them can put right what they name.
"""


class ReportedError(Exception):
    """What ends a command with one message on standard error and ``exit_code``."""

    exit_code = 1


class UserError(ReportedError):
    """A mistake in what was asked for: a flag, a file, a folder. Nothing was begun."""

    exit_code = 2


class RunError(ReportedError):
    """What stops a run that was rightly asked for: a full disk, numbers that are not finite, damage."""


LONGEST = 600
"""Names of more characters are shown without their middle."""


def printable(name: object) -> str:
    """The name of a file as one line that any terminal can show: ``\\xff`` for a byte that is not UTF-8, and
    ``\\n`` and the like for what does not print."""
    shown = "".join(c if c.isprintable() else _escaped(c) for c in str(name))
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]}...{shown[-LONGEST // 2 :]}"


def _escaped(character: str) -> str:
    # Python writes a byte that is not UTF-8 as one of these.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
