"""How each side reads frames of a video, on one thread; and the video where none is given."""

import importlib
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import av
import cv2
import numpy as np

from jaxaction.data import decode

PACKAGES = {"jaxaction": "av", "decord": "decord", "torchcodec": "torchcodec", "OpenCV": "cv2"}
Read = Callable[[str, Sequence[int]], np.ndarray]


def installed() -> list[tuple[str, Read]]:
    """The sides that can be imported, jaxaction first."""
    sides = []
    for side, read in SIDES.items():
        try:
            importlib.import_module(PACKAGES[side])
        except (ImportError, RuntimeError, OSError) as error:
            print(f"{side} left out: {str(error).strip().splitlines()[0]}")
            continue
        sides.append((side, read))
    return sides


def versions() -> dict[str, str]:
    """Of the packages that decode."""
    names = ("av", "opencv-python-headless", "decord", "torchcodec", "torch", "grain")
    known = {dist.metadata["Name"] for dist in metadata.distributions()}
    return {name: metadata.version(name) for name in names if name in known}


def count_wrong_frames(frames: np.ndarray, expected: np.ndarray) -> str:
    """How many frames are others than those asked for: by more than colour conversion explains."""
    far = np.abs(frames.astype(int) - expected).mean(axis=(1, 2, 3)) > 4
    return f"{far.sum()} of {len(expected)}"


def _ours(video, indices):
    return decode.read_frames(video, indices)


def _decord(video, indices):
    import decord

    return decord.VideoReader(video, num_threads=1).get_batch(indices).asnumpy()


def _torchcodec(video, indices):
    from torchcodec.decoders import VideoDecoder

    frames = VideoDecoder(video, num_ffmpeg_threads=1, dimension_order="NHWC")
    return frames.get_frames_at(list(indices)).data.numpy()


def _opencv(video, indices):
    """Frame after frame to the last wanted one, as seeking is slower and not exact."""
    capture = cv2.VideoCapture(video, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    wanted, frames = set(indices), {}
    for number in range(max(indices) + 1):
        capture.grab()
        if number in wanted:
            frames[number] = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
    capture.release()
    return np.stack([frames[i] for i in indices])


SIDES: dict[str, Read] = {
    "jaxaction": _ours,
    "decord": _decord,
    "torchcodec": _torchcodec,
    "OpenCV": _opencv,
}


def make_video(path: Path, count: int = 300) -> str:
    """Writes 340x256 pixels, 30 frames a second: a texture that drifts, with noise."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (512, 1024, 3)).astype(np.uint8), (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
        for i in range(count):
            view = texture[i // 3 : i // 3 + 256, 2 * i : 2 * i + 340]
            noisy = view + rng.normal(0, 2, view.shape)
            picture = noisy.clip(0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            output.mux(stream.encode(frame.reformat(format="yuv420p")))
        output.mux(stream.encode(None))
    return str(path)
