"""The named losses of a batch: softmax and sigmoid cross-entropy, class weights, smoothing."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxaction.errors import InputError


class Losses(NamedTuple):
    """Losses by name, means over the clips, still to be divided by `weight`.

    The division comes later: the loss of a batch in parts is the sum of the parts' losses over the
    sum of their weights. Without class weights `weight` is 1.
    """

    named: dict[str, Float[Array, ""]]
    weight: Float[Array, ""]


def cross_entropy(
    logits: Float[Array, "n k"],
    label: Int[Array, " n"] | Float[Array, "n k"],
    class_weights: tuple[float, ...] = (),
) -> Losses:
    """Softmax cross-entropy; `label` is a number or the classes' shares.

    With class weights it is torch's weighted mean: each class's part of a clip's loss times its
    weight, over the sum of the batch's shares times their weights. MMAction2's `CrossEntropyLoss`
    does so for shares, torch's for numbers.
    """
    if label.ndim == 1 and not class_weights:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
        return Losses({"cross_entropy": losses.mean()}, jnp.float32(1))
    shares = as_shares(label, logits.shape[-1])
    if class_weights:
        shares = shares * jnp.asarray(class_weights)
    weight = shares.sum(-1).mean() if class_weights else jnp.float32(1)
    return Losses({"cross_entropy": optax.softmax_cross_entropy(logits, shares).mean()}, weight)


def binary_cross_entropy(
    logits: Float[Array, "n k"],
    targets: Float[Array, "n k"],
    class_weights: tuple[float, ...] = (),
) -> Losses:
    """Sigmoid cross-entropy of a multi-label batch, the mean over clips and classes.

    Class weights multiply their classes' parts. The mean is still over all classes, as in
    MMAction2's `BCELossWithLogits`.
    """
    losses = optax.sigmoid_binary_cross_entropy(logits, targets)
    if class_weights:
        losses = losses * jnp.asarray(class_weights)
    return Losses({"binary_cross_entropy": losses.mean()}, jnp.float32(1))


def as_shares(label: Int[Array, " n"] | Float[Array, "n k"], k: int) -> Float[Array, "n k"]:
    """Labels as the classes' shares; shares come back as they are."""
    return jax.nn.one_hot(label, k) if label.ndim == 1 else label


def smooth(shares: Float[Array, "n k"], smoothing: float) -> Float[Array, "n k"]:
    """Spreads `smoothing` of every clip evenly over all classes: MMAction2's `label_smooth_eps`.

    It also takes several labels a clip. It is linear, so it is the same before and after mixing.
    Szegedy et al. 2016, section 7.

    >>> smooth(jnp.array([[1.0, 0.0]]), 0.5)
    Array([[0.75, 0.25]], dtype=float32)
    """
    return (1 - smoothing) * shares + smoothing / shares.shape[-1]


def check_class_weights(class_weights: tuple[float, ...], num_classes: int) -> None:
    """Raises InputError unless there is no weight at all, or one for each class, 0 or more."""
    if class_weights and len(class_weights) != num_classes:
        raise InputError(
            f"train.class_weights has {len(class_weights)} numbers, but model.num_classes is"
            f" {num_classes}; give a weight for each class, or () for none"
        )
    wrong = [x for x in class_weights if not isinstance(x, int | float) or not 0 <= x < math.inf]
    if wrong or (class_weights and not any(class_weights)):
        raise InputError(
            f"train.class_weights {class_weights} are not numbers of 0 or more, one of them above"
            " 0; give such, or () for none"
        )
