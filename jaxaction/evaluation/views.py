"""Views of a video, an axis of their own, on their way through a model that takes clips."""

import jax
import numpy as np
from jaxtyping import Array, Float, Shaped

AVERAGES = ("prob", "score")

AnyArray = Array | np.ndarray


def fold(views: Shaped[AnyArray, "n v ..."]) -> Shaped[AnyArray, "n*v ..."]:
    """The views of all videos as one batch of clips; a video's views stay together."""
    n, v, *clip = views.shape
    return views.reshape(n * v, *clip)


def unfold(clips: Shaped[AnyArray, "nv ..."], num_videos: int) -> Shaped[AnyArray, "n v ..."]:
    """Undoes `fold`: the views become an axis again. ValueError if the videos don't fit."""
    if clips.shape[0] % num_videos:
        raise ValueError(f"{clips.shape[0]} clips are not a multiple of {num_videos} videos")
    return clips.reshape(num_videos, clips.shape[0] // num_videos, *clips.shape[1:])


def average_clips(
    logits: Float[Array, "n v k"], average: str, multi_label: bool = False
) -> Float[Array, "n k"]:
    """One row of scores a video, as MMAction2's `average_clips`.

    "prob": the mean of each view's softmax, so rows sum to 1; with `multi_label` the mean of its
    sigmoid, for each class separately. "score": the mean of the logits, whose softmax is not the
    mean of softmaxes. ValueError for any other word.
    """
    if average == "prob":
        return _squashed(logits, multi_label).mean(axis=1)
    if average == "score":
        return logits.mean(axis=1)
    raise ValueError(f"average {average!r} is none of {', '.join(AVERAGES)}")


def probabilities(
    scores: Float[Array, "n k"], average: str, multi_label: bool = False
) -> Float[Array, "n k"]:
    """Rows that sum to 1, from the result of `average_clips` for the same `average`.

    With `multi_label` each class has a probability of its own.

    The softmax of the mean logits is what MMAction2's TSN reports over all crops and segments,
    since its classifier is linear in the features that it averages there.
    """
    return scores if average == "prob" else _squashed(scores, multi_label)


def _squashed(logits, multi_label):
    return jax.nn.sigmoid(logits) if multi_label else jax.nn.softmax(logits, axis=-1)
