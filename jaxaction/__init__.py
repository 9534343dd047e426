"""Video action recognition in JAX and Flax: TSN, TSM, I3D, R(2+1)D, SlowOnly and SlowFast."""

import importlib
from typing import TYPE_CHECKING

from jaxaction.version import VERSION as __version__

if TYPE_CHECKING:
    from jaxaction.models import MODELS, build, init
    from jaxaction.models.fold import fold_batch_norm
    from jaxaction.runtime import xla_options

__all__ = ["MODELS", "__version__", "build", "fold_batch_norm", "init", "xla_options"]

_HOMES = {
    "MODELS": "jaxaction.models",
    "build": "jaxaction.models",
    "init": "jaxaction.models",
    "fold_batch_norm": "jaxaction.models.fold",
    "xla_options": "jaxaction.runtime",
}


# Names are imported at their first use. A command can so catch Ctrl-C before it imports JAX, which
# takes a second (`jaxaction.runtime.early_interrupt`).
def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxaction' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
