"""Empty modules for what a peer imports and does not use here."""

import importlib.machinery
import sys
import types


def stand_in(name: str) -> types.ModuleType:
    """Puts a module in the place of `name`; whatever a peer imports from it is an empty class."""
    sys.modules[name] = module = types.ModuleType(name)
    module.__spec__, module.__path__ = importlib.machinery.ModuleSpec(name, None), []
    module.__getattr__ = _empty_class
    return module


def _empty_class(name: str) -> type:
    if name.startswith("__"):  # Python's own questions: torch.compile asks each for its __file__
        raise AttributeError(name)
    return type(name, (), {})
