"""The exceptions that the scripts turn into an exit code."""

SIGTERM_EXIT_CODE = 143  # 128 + SIGTERM, what a shell says of a process that the signal ended


class InputError(ValueError):
    """A user's input cannot be used; the message names the thing, the rule and the way out."""


class Interrupted(Exception):
    """SIGTERM came, and all that the run has done is saved."""
