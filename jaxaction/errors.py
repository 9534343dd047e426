"""The one kind of error that ends a command with a single line and exit code 2."""

import errno

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk, quota or largest file size exhausted


class InputError(ValueError):
    """What a user gave cannot be used: the message names the thing, the rule and the way out."""
