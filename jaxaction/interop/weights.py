"""Files of weights, `.pth` and `.safetensors`, in and out."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from jaxaction.errors import InputError
from jaxaction.files import write_atomically
from jaxaction.interop.pth import read_pth
from jaxaction.interop.torch_pickle.objects import Unusable

# The keys of a checkpoint's weights: mmengine's and most others', PySlowFast's, torchvision's.
WEIGHT_KEYS = ("state_dict", "model_state", "model_state_dict", "model")

# The types of numbers in a .safetensors file that its library gives as numpy's.
NUMPY_TYPES = frozenset(
    {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}
)


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Returns the `state_dict` in a file, whatever else the file holds; float, PyTorch's layout.

    The kind of file is told by its content. A leading `module.` of data-parallel training is taken
    off the names. InputError, one line, for a file that can't be read or holds no weights.
    """
    path = Path(path)
    content = _read_safetensors(path) if _is_safetensors(path) else read_pth(path)
    keys = [key for key in WEIGHT_KEYS if isinstance(content.get(key), Mapping)]
    weights = content[keys[0]] if keys else content
    arrays = {key: value for key, value in weights.items() if isinstance(value, np.ndarray)}
    if not arrays:
        raise InputError(f"{path} holds no weights by name; give a checkpoint with a state_dict")
    return {key.removeprefix("module."): value for key, value in arrays.items()}


def write_weights(path: str | Path, weights: Mapping[str, np.ndarray]) -> None:
    """Writes a `state_dict` as the file's name ends: `.safetensors`, or `.pth` by PyTorch.

    A `.pth` holds `{"state_dict": weights, "meta": {}}`. InputError for another ending, for a file
    that exists, and for `.pth` where PyTorch is not installed.
    """
    path = Path(path)
    if path.exists():
        raise InputError(f"{path} exists already; give another name")
    if path.suffix == ".safetensors":
        write_atomically(path, lambda file: file.write(safetensors.numpy.save(dict(weights))))
    elif path.suffix in (".pth", ".pt"):
        _write_pth(path, weights)
    else:
        raise InputError(f"{path}: a file of weights ends in .safetensors or .pth")


def _write_pth(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    if importlib.util.find_spec("torch") is None:
        raise InputError(f"{path} needs PyTorch, which is not installed; name it .safetensors")
    import torch

    tensors = {key: torch.from_numpy(np.array(value)) for key, value in weights.items()}
    write_atomically(path, lambda file: torch.save({"state_dict": tensors, "meta": {}}, file))


def _is_safetensors(path: Path) -> bool:
    """Eight bytes of the header's length, then the header, a JSON object."""
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError:
        return False


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        with safetensors.safe_open(path, "np") as file:
            types = {key: file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118 - it is no dict
        if strange := [key for key, kind in types.items() if kind not in NUMPY_TYPES]:
            raise Unusable(
                f"has {len(strange)} weights of type {types[strange[0]]}, which numpy lacks; store"
                " them as float32"
            )
        return safetensors.numpy.load_file(path)
    except Unusable as problem:
        raise InputError(f"{path} {problem}") from None
    except (safetensors.SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} is damaged or cut off ({error}); download it again") from error
