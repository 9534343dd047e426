"""Settings of an MMAction2 config, taken one by one so that none is overlooked."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from jaxaction.errors import InputError
from jaxaction.models import hashable


class Options:
    """Settings that are taken one by one; those that remain at the end are not supported.

    `where` is their path in the config file, for messages: "model.backbone".
    """

    def __init__(self, values: Mapping[str, Any], where: str):
        self.remaining = {key: _as_tuples(value) for key, value in dict(values).items()}
        self.where = where

    def take(self, key: str, default: Any = None) -> Any:
        value = self.remaining.pop(key, default)
        return default if value is None else value

    def take_if(self, key: str, allowed: Callable[[Any], bool]) -> None:
        """Drops an option whose value asks for nothing; any other value is refused."""
        if key in self.remaining and not allowed(self.remaining[key]):
            self.refuse(key, self.remaining[key])
        self.remaining.pop(key, None)

    def refuse(self, key: str, value: Any) -> NoReturn:
        raise InputError(f"{self.where}.{key} = {value!r} is not supported")

    def refuse_remaining(self) -> None:
        """Raises InputError that names the first option that nobody has taken."""
        for key, value in self.remaining.items():
            self.refuse(key, value)


def _as_tuples(value: Any) -> Any:
    """Lists as tuples, so that values compare; dicts stay dicts."""
    return {**value} if isinstance(value, Mapping) else hashable(value)
