"""The one kind of error that ends a command with a single line and exit code 2."""


class InputError(ValueError):
    """What a user gave cannot be used: the message names the thing, the rule and the way out."""
