"""The pure training step: uint8 clips and labels in, the next state and named metrics out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt8

from jaxaction import mixing
from jaxaction.train_state import TrainState


def normalize(
    clip: UInt8[Array, "... c"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "... c"]:
    """(clip - mean) / std in float32; `mean` and `std` on the scale 0 to 255, one a channel."""
    return (clip.astype(jnp.float32) - jnp.asarray(mean)) / jnp.asarray(std)


class Mixing(NamedTuple):
    """Strengths, Beta's alpha, of mixing clips with one another; 0 leaves them apart."""

    mixup: float = 0.0
    cutmix: float = 0.0


UNMIXED = Mixing()


def cross_entropy(
    logits: Float[Array, "n k"], label: Int[Array, " n"] | Float[Array, "n k"]
) -> dict[str, Float[Array, ""]]:
    """The named losses of a batch: the mean softmax cross-entropy, `label` a number or shares."""
    if label.ndim == 1:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    else:
        losses = optax.softmax_cross_entropy(logits, label)
    return {"cross_entropy": losses.mean()}


def binary_cross_entropy(
    logits: Float[Array, "n k"], targets: Float[Array, "n k"]
) -> dict[str, Float[Array, ""]]:
    """The named losses of a multi-label batch: the mean over clips and classes, as in the
    reference's `BCELossWithLogits`."""
    return {"binary_cross_entropy": optax.sigmoid_binary_cross_entropy(logits, targets).mean()}


def make_train_step(
    model: Any,
    optimizer: optax.GradientTransformation,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    mix: Mixing = UNMIXED,
) -> Callable[[TrainState, dict[str, Array]], tuple[TrainState, dict[str, Array]]]:
    """`step(state, {"clip": uint8 [n, t, h, w, c], "label": int32 [n]}) -> (state, metrics)`.

    Labels of float32 [n, k] are those of a multi-label data set, 1 or 0 for each class. The metrics
    are scalars: every named loss as `loss/NAME`, their sum as `loss`, `accuracy` (the share of the
    batch whose highest logit is a label's; of mixed clips the larger part's) and `grad_norm`
    (before clipping).
    """

    def losses(params, state: TrainState, batch):
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        clips, label = normalize(batch["clip"], mean, std), batch["label"]
        multi_label = label.ndim == 2
        if any(mix):
            shares = label if multi_label else jax.nn.one_hot(label, model.num_classes)
            clips, label = mixing.mix(jax.random.fold_in(key, 1), clips, shares, *mix)
        logits, updates = model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            clips,
            True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        named = (binary_cross_entropy if multi_label else cross_entropy)(logits, label)
        return sum(named.values()), (named, logits, label, updates.get("batch_stats", {}))

    def step(state: TrainState, batch):
        (loss, aux), grads = jax.value_and_grad(losses, has_aux=True)(state.params, state, batch)
        named, logits, label, batch_stats = aux
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {f"loss/{name}": value for name, value in named.items()} | {
            "loss": loss,
            "accuracy": _accuracy(logits, label),
            "grad_norm": optax.tree.norm(grads),
        }
        return TrainState(state.step + 1, params, batch_stats, opt_state), metrics

    return step


def _accuracy(logits, label):
    """The share of rows whose highest logit is at the label, or at the highest of several."""
    best = jnp.argmax(logits, -1)
    if label.ndim == 1:
        return jnp.mean(best == label)
    at_best = jnp.take_along_axis(label, best[:, None], axis=1)[:, 0]
    return jnp.mean(at_best == label.max(axis=1))
