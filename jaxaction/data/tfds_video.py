"""Makes `tfds.features.Video` and the builder of ucf101 usable where TensorFlow is not installed.

tfds 4.9 reads and writes data sets without TensorFlow, except at the places that `enable` replaces.
They are internals, so the package pins tfds to 4.9.x and tests each of them.

No upstream issue names `features.Video` yet. tensorflow/datasets#11233 (open) is the same fault in
`features.Audio`; tensorflow/datasets#11058 (open) reports that TensorFlow is needed where the
documentation says it is not. This module can go once tfds takes dtypes from numpy, encodes arrays
without `tf.image`, and opens files by `epath` at these places.
"""

import importlib.util
import os
import types
from typing import TypeVar

import cv2
import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import extractor
from tensorflow_datasets.core.features import image_feature, video_feature
from tensorflow_datasets.video import ucf101

Encoded = TypeVar("Encoded")


def enable() -> None:
    """Makes the replacements, once; does nothing where TensorFlow is installed."""
    if importlib.util.find_spec("tensorflow") or "dtype" in vars(tfds.features.Video):
        return
    # Video.__init__ calls tf.dtypes.as_dtype, and its `dtype` (of FeatureConnector) does so, too.
    dtypes = types.SimpleNamespace(as_dtype=lambda dtype: np.dtype(dtype).type)
    video_feature.tf = types.SimpleNamespace(dtypes=dtypes)
    tfds.features.Video.dtype = property(lambda self: self.np_dtype)
    # Frames that are given as arrays are encoded by tf.image.encode_png or encode_jpeg.
    encoder = image_feature._ImageEncoder
    encoder._encode_image = _encode_image  # pyright: ignore[reportAttributeAccessIssue] - names
    # ucf101 reads its lists, and the extractor writes an archive's files, through tf.io.gfile.
    files = types.SimpleNamespace(GFile=open, exists=os.path.exists)
    extractor.tf = ucf101.tf = types.SimpleNamespace(
        io=types.SimpleNamespace(gfile=files), compat=types.SimpleNamespace(as_text=str)
    )


def _encode_image(encoder, image: np.ndarray) -> bytes:
    """Returns an RGB image, uint8 or uint16 `[h, w, c]`, as JPEG or PNG, as the encoder is set."""
    image_feature._validate_np_array(image, shape=encoder.shape, dtype=encoder.np_dtype)
    swap = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(image.shape[-1])
    ok, data = cv2.imencode(
        f".{encoder.encoding_format}", image if swap is None else cv2.cvtColor(image, swap)
    )
    if not ok:
        raise ValueError(f"an image of shape {image.shape} cannot be encoded")
    return data.tobytes()


class EncodedFrames(tfds.decode.Decoder):
    """Keeps the frames of a Video feature as encoded pictures, which `Stills` decodes later."""

    dtype = np.object_  # pyright: ignore[reportAssignmentType] - tfds reads it like its property

    def decode_example(self, serialized_example: Encoded) -> Encoded:
        return serialized_example

    def decode_batch_example_np(self, batch: Encoded) -> Encoded:
        return batch
