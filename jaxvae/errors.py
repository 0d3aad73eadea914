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
