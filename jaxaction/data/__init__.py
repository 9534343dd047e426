"""From videos to batches: sources, decoding, sampling, transforms, loaders."""

from jaxaction.data.annotations import annotation_source
from jaxaction.data.pipeline import test_loader, train_loader
from jaxaction.data.protocol import Protocol, read_views
from jaxaction.data.records import Record
from jaxaction.data.stills import FrameFolder
from jaxaction.data.tfds_sources import tfds_source
from jaxaction.data.train_transform import TrainTransform

__all__ = [
    "FrameFolder",
    "Protocol",
    "Record",
    "TrainTransform",
    "annotation_source",
    "read_views",
    "test_loader",
    "tfds_source",
    "train_loader",
]
