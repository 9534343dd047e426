"""Other projects' figures in tests/parity, and the seeded weights and inputs behind them."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "parity"


def rng(text: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(text.encode())))


def seeded_weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the value that the figures' weight or statistic `key` has, PyTorch layout."""
    if len(shape) >= 2:
        value = rng(key).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        value = value * 0.1 if "non_local_block" in key else value
    elif key.endswith("running_var"):
        value = rng(key).uniform(0.5, 1.5, shape)
    elif key.endswith(("running_mean", "bias")):
        value = 0.1 * rng(key).standard_normal(shape)
    else:
        value = 1 + 0.1 * rng(key).standard_normal(shape)
    return value.astype(np.float32)


class Case:
    """One file of figures: `meta`, the arrays, and what went into them."""

    def __init__(self, name: str):
        with np.load(FOLDER / f"{name}.npz") as file:
            self.arrays = {key: file[key] for key in file.files}
        self.meta: dict[str, Any] = json.loads(str(self.arrays.pop("meta")))

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    def state_dict(self) -> dict[str, np.ndarray]:
        keys = self.meta["state_keys"]
        return {key: seeded_weight(key, tuple(shape)) for key, shape in keys.items()}

    def pixels(self) -> np.ndarray:
        """What went in, in the layout that it went in."""
        return rng(self.meta["input_seed"]).standard_normal(self.meta["input_shape"])

    def clips(self) -> np.ndarray:
        return to_clips(self.pixels())


def to_clips(pixels: np.ndarray) -> np.ndarray:
    """Returns an input of MMAction2 as `[n, t, h, w, c]`, a 3D recognizer's views as clips."""
    if pixels.ndim == 5:
        return pixels.transpose(0, 1, 3, 4, 2).astype(np.float32)
    pixels = pixels.reshape(-1, *pixels.shape[2:])
    return pixels.transpose(0, 2, 3, 4, 1).astype(np.float32)


def case_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.npz"))
