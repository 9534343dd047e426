"""A config as JSON values, as a run's directory keeps it, and back."""

import json
from typing import Any

from ml_collections import ConfigDict


def to_dict(config: ConfigDict) -> dict:
    """The config as JSON values; `from_dict` gives it back, tuples included."""
    return json.loads(config.to_json())


def from_dict(values: dict) -> ConfigDict:
    """The config that `to_dict` wrote. A config holds no lists, so every list was a tuple."""
    return ConfigDict(tuples(values))


def tuples(value: Any) -> Any:
    """JSON values with every list, however deep, as a tuple."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value
