"""The data set `motions`: short generated clips that only their motion can classify."""

import concurrent.futures
import itertools
import os
from collections.abc import Iterator
from typing import cast

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8

from jaxaction.data.builders import drawing

# By name, the direction in which x (to the right), y (down), log size and angle change. Opposite
# motions are next to each other: `OPPOSITE` depends on it.
MOTIONS = {
    "moving right": (1, 0, 0, 0),
    "moving left": (-1, 0, 0, 0),
    "moving down": (0, 1, 0, 0),
    "moving up": (0, -1, 0, 0),
    "moving down right": (1, 1, 0, 0),
    "moving up left": (-1, -1, 0, 0),
    "moving down left": (-1, 1, 0, 0),
    "moving up right": (1, -1, 0, 0),
    "rotating clockwise": (0, 0, 0, 1),
    "rotating counterclockwise": (0, 0, 0, -1),
    "growing": (0, 0, 1, 0),
    "shrinking": (0, 0, -1, 0),
}
# A clip played backwards shows the opposite motion. Index to index.
OPPOSITE = {label: label ^ 1 for label in range(len(MOTIONS))}

NUM_FRAMES = 24
SIDE = 80  # pixels
FPS = 12


class MotionsConfig(tfds.core.BuilderConfig):
    """The number of clips in each split."""

    def __init__(self, train: int, test: int, **fields):
        super().__init__(**fields)
        self.train = train
        self.test = test


class Motions(tfds.core.GeneratorBasedBuilder):
    """Textured shapes that move, turn, grow or shrink over a textured background.

    `video` is an h264 mp4 of 24 frames of 80x80, `label` one of twelve motions. Object, colours,
    textures, size, start and speed are random and have the same distribution in every class, and
    every frame is coded alone with one quantizer: a frame, or a set of frames without their
    order, is as likely under a motion as under its `OPPOSITE`.
    """

    name = "motions"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        MotionsConfig(1440, 240, name="default", description="1440 and 240 clips"),
        MotionsConfig(96, 24, name="tiny", description="96 and 24 clips, for trying things out"),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "id": tfds.features.Text(),
            "video": tfds.features.Tensor(shape=(), dtype=np.bytes_),
            "label": tfds.features.ClassLabel(names=list(MOTIONS)),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("video", "label"),
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        del dl_manager  # nothing is downloaded
        config = cast(MotionsConfig, self.builder_config)
        return {
            "train": self._generate_examples("train", config.train),
            "test": self._generate_examples("test", config.test),
        }

    def _generate_examples(self, split: str, count: int) -> Iterator[tuple[str, dict[str, object]]]:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            videos = pool.map(encoded_clip, itertools.repeat(split), range(count))
            for index, video in enumerate(videos):
                name = f"{split}{index:05d}"
                yield name, {"id": name, "video": video, "label": index % len(MOTIONS)}


def encoded_clip(split: str, index: int) -> bytes:
    """Returns clip `index` of a split as an mp4; its class is `index` modulo 12."""
    rng = np.random.default_rng([{"train": 0, "test": 1}[split], index])
    directions = np.array(list(MOTIONS.values())[index % len(MOTIONS)])
    return drawing.encode(clip(directions, rng), FPS)


def clip(
    directions: Int[np.ndarray, " 4"], rng: np.random.Generator
) -> UInt8[np.ndarray, "t h w 3"]:
    """Returns the frames of a random object with this motion.

    `directions` is -1, 0 or 1 for each of x, y, log size and angle. A value that moves is
    swept evenly over its range in the clip. One that does not is frozen at a random place of the
    range, so that one frame looks the same in every class.
    """
    background = drawing.background(SIDE, rng)
    shape = drawing.shape(rng)
    travel = rng.uniform(30, 42)  # pixels
    ratio = rng.uniform(1.7, 2.2)  # largest to smallest size
    turn = rng.uniform(200, 300)  # degrees
    reach = np.array([travel, travel, np.log(ratio), turn])
    middle = [*rng.uniform(-6, 6, 2) + SIDE / 2, np.log(rng.uniform(42, 56)), rng.uniform(0, 360)]
    frozen = rng.uniform(-0.5, 0.5, 4)  # the range of the time below
    frames = []
    for time in np.linspace(-0.5, 0.5, NUM_FRAMES):
        x, y, log_size, angle = middle + reach * np.where(directions, directions * time, frozen)
        frames.append(drawing.paste(background, shape, (x, y), np.exp(log_size), angle))
    return np.stack(frames)
