"""UCF101 by TFDS's own builder, which downloads it: without TensorFlow, with an ffmpeg found."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import requests
import tensorflow_datasets as tfds

from jaxaction.data import tfds_video
from jaxaction.errors import InputError

CONFIGS = ("ucf101_1_256", "ucf101_1", "ucf101_2", "ucf101_3")


def prepare(config: str, out: Path) -> tfds.core.DatasetBuilder:
    """Downloads UCF101 (7 GB) to `out/downloads` and prepares one config ("": the first).

    Frames are stored as JPEG. A run that was stopped keeps what it has downloaded. `InputError`
    where it is prepared already, where it can't be downloaded or written, and without an ffmpeg.
    """
    tfds_video.enable()
    builder = tfds.builder(f"ucf101/{config or CONFIGS[0]}", data_dir=out)
    if builder.data_path.exists():
        raise InputError(f"{builder.data_path} is there already; delete it, or give another --out")
    # The list's server is known for its certificates; TFDS knows both files' SHA-256, which must be
    # right.
    settings = tfds.download.DownloadConfig(
        try_download_gcs=False, verify_ssl=False, force_checksums_validation=True
    )
    with _ffmpeg_on_path():
        try:
            builder.download_and_prepare(file_format="array_record", download_config=settings)
        except requests.exceptions.RequestException as error:
            raise InputError(
                f"ucf101 can't be downloaded ({error}); run it again where there is a network"
            ) from error
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{builder.data_path} can't be prepared: {reason}") from error
    return builder


@contextlib.contextmanager
def _ffmpeg_on_path() -> Iterator[None]:
    """While inside, `ffmpeg` starts one: the system's, or that of the package imageio-ffmpeg."""
    if shutil.which("ffmpeg"):
        yield
        return
    try:
        import imageio_ffmpeg
    except ImportError:
        message = "ucf101 needs ffmpeg to be prepared; pip install imageio-ffmpeg"
        raise InputError(message) from None
    before = os.environ.get("PATH", "")
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(imageio_ffmpeg.get_ffmpeg_exe(), os.path.join(folder, "ffmpeg"))
        os.environ["PATH"] = os.pathsep.join((folder, before))
        try:
            yield
        finally:
            os.environ["PATH"] = before
