"""TFDS builders of other people, as they would be: not ours, in a module of their own."""

import numpy as np
import tensorflow_datasets as tfds

from tests.data.videos import encoded, pictures

# Encoded once, since libx264 gives other bytes now and then. Trailing zeros: numpy's bytes_ would
# drop them.
LEFT = encoded(count=3) + b"\0\0"


class Gestures(tfds.core.GeneratorBasedBuilder):
    """Videos stored as encoded frames (`features.Video`), as in ucf101."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "clip": tfds.features.Video(shape=(None, 48, 64, 3), encoding_format="png"),
            "title": tfds.features.Text(),
            "kind": tfds.features.ClassLabel(names=["wave", "nod"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(4)}

    def _generate_examples(self, count):
        for i in range(count):
            yield i, {"clip": pictures(5 + i), "title": f"clip {i}", "kind": i % 2}


class Pairs(tfds.core.GeneratorBasedBuilder):
    """Two encoded videos and two labels an example."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "left": tfds.features.Tensor(shape=(), dtype=np.bytes_),
            "right": tfds.features.Text(),
            "note": tfds.features.Text(),
            "verb": tfds.features.ClassLabel(num_classes=3),
            "noun": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"left": LEFT, "right": encoded(count=4), "note": "one", "verb": 2, "noun": 1}
