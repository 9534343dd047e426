"""The pure training step: uint8 clips and labels in, the next state and named metrics out."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt8

from jaxaction.train_state import TrainState


def normalize(
    clip: UInt8[Array, "... c"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "... c"]:
    """(clip - mean) / std in float32; `mean` and `std` on the scale 0 to 255, one a channel."""
    return (clip.astype(jnp.float32) - jnp.asarray(mean)) / jnp.asarray(std)


def cross_entropy(
    logits: Float[Array, "n k"], label: Int[Array, " n"]
) -> dict[str, Float[Array, ""]]:
    """The named losses of a batch: the mean softmax cross-entropy."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return {"cross_entropy": losses.mean()}


def make_train_step(
    model: Any,
    optimizer: optax.GradientTransformation,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
) -> Callable[[TrainState, dict[str, Array]], tuple[TrainState, dict[str, Array]]]:
    """`step(state, {"clip": uint8 [n, t, h, w, c], "label": int32 [n]}) -> (state, metrics)`.

    The metrics are scalars: every named loss as `loss/NAME`, their sum as `loss`, `accuracy` (the
    share of the batch whose highest logit is the label's) and `grad_norm` (before clipping).
    """

    def losses(params, state: TrainState, batch):
        logits, updates = model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            normalize(batch["clip"], mean, std),
            True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.fold_in(jax.random.key(seed), state.step)},
        )
        named = cross_entropy(logits, batch["label"])
        return sum(named.values()), (named, logits, updates.get("batch_stats", {}))

    def step(state: TrainState, batch):
        (loss, aux), grads = jax.value_and_grad(losses, has_aux=True)(state.params, state, batch)
        named, logits, batch_stats = aux
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {f"loss/{name}": value for name, value in named.items()} | {
            "loss": loss,
            "accuracy": jnp.mean(jnp.argmax(logits, -1) == batch["label"]),
            "grad_norm": optax.tree.norm(grads),
        }
        return TrainState(state.step + 1, params, batch_stats, opt_state), metrics

    return step
