"""A training run of seconds: a few made-up clips and a network of a few thousand parameters."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxaction.config.defaults import motions
from jaxaction.data.builders import drawing

TRAIN, TEST, CLASSES = 12, 6, 3


def write_clips(folder: Path) -> None:
    """Writes `train.txt` and `test.txt` in `folder`, and their clips.

    They are 6 frames of 32x32, one colour a class with noise over it.
    """
    rng = np.random.default_rng(0)
    for name, count in (("train", TRAIN), ("test", TEST)):
        lines = []
        for i in range(count):
            frames = rng.integers(0, 60, (6, 32, 32, 3), dtype=np.uint8)
            frames[..., i % CLASSES] += 150
            (folder / f"{name}{i}.mp4").write_bytes(drawing.encode(frames, fps=10))
            lines.append(f"{name}{i}.mp4 {i % CLASSES}\n")
        (folder / f"{name}.txt").write_text("".join(lines))


def config(folder: Path, **train) -> ConfigDict:
    """TSN in its smallest form on those clips: 9 steps of 4 clips, a checkpoint every 2."""
    model = {"name": "tsn", "depth": 18, "stage_blocks": (1, 1), "width": 4}
    config = motions(model | {"dropout": 0.2, "bn_group": 0})
    config.model.num_classes = CLASSES
    config.data.update(source="annotations", name="", num_threads=1, sampling="segments")
    config.data.update(train_file=f"{folder}/train.txt", test_file=f"{folder}/test.txt")
    config.optim.update(learning_rate=1e-3, decay="constant", decay_epochs=0.0)
    config.data.update(clip_len=2, short_side=20, size=(16, 16), flip=0.5)
    config.train.update(batch_size=4, epochs=3.0, log_every_steps=3, checkpoint_every_steps=2)
    config.train.update(eval_every_epochs=2, keep=3)
    config.train.update(**train)
    config.test.batch_size = 4
    return config


@contextlib.contextmanager
def kept_programs(folder: Path) -> Iterator[None]:
    """Has JAX keep what it compiles inside in `folder/xla`, also what takes but half a second."""
    values = {"jax_compilation_cache_dir": str(folder / "xla")}
    values |= {"jax_persistent_cache_min_compile_time_secs": 0.5}
    before = {name: getattr(jax.config, name) for name in values}
    for name, value in values.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
