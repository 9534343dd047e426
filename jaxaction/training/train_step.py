"""The pure training step: uint8 clips and labels in, the next state and named metrics out."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from jaxaction.models.pixels import normalize
from jaxaction.train_state import TrainState
from jaxaction.training import accumulation, ema, losses, mixup


class Mixing(NamedTuple):
    """How strongly clips are mixed with one another: Beta's alpha, 0 for not at all."""

    mixup: float = 0.0
    cutmix: float = 0.0


UNMIXED = Mixing()


class Recipe(NamedTuple):
    """Optional training features. The defaults disable all of them."""

    mix: Mixing = UNMIXED
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    ema_decay: float = 0.0  # of `TrainState.averaged`, see `ema`; 0: the state has no averages
    accumulate: int = 1  # parts of the batch, one in memory at a time
    group_size: int = 1  # clips that stay neighbours in a part, see `accumulation.divide`


PLAIN = Recipe()


def make_train_step(
    model: Any,
    optimizer: optax.GradientTransformation,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    recipe: Recipe = PLAIN,
) -> Callable[[TrainState, dict[str, Array]], tuple[TrainState, dict[str, Array]]]:
    """`step(state, {"clip": uint8 [n, t, h, w, c], "label": int32 [n]}) -> (state, metrics)`.

    Labels of float32 [n, k] are those of a multi-label data set, 1 or 0 for each class. The metrics
    are scalars: every named loss as `loss/NAME`, their sum as `loss`, `accuracy` (the share of the
    batch whose highest logit is a label's; of mixed clips the larger part's) and `grad_norm`
    (before clipping). With `recipe.accumulate` clips are mixed and dropped out part by part, and
    statistics are the mean of the parts'.
    """

    def forward(params, batch_stats, batch, key):
        clips, label = normalize(batch["clip"], mean, std), batch["label"]
        if any(recipe.mix):
            shares = losses.as_shares(label, model.num_classes)
            clips, label = mixup.mix(jax.random.fold_in(key, 1), clips, shares, *recipe.mix)
        logits, updates = model.apply(
            {"params": params, "batch_stats": batch_stats},
            clips,
            True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        named_losses = _losses(logits, label, batch["label"].ndim == 2, recipe)
        statistics = updates.get("batch_stats", {})
        total = sum(named_losses.named.values())
        return total, (named_losses, _accuracy(logits, label), statistics)

    def step(state: TrainState, batch):
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        gradient = partial(jax.grad(forward, has_aux=True), state.params, state.batch_stats)
        gradient = accumulation.mean_over_parts(gradient, recipe.accumulate, recipe.group_size)
        grads, aux = gradient(batch, key)
        (named, weight), accuracy, batch_stats = aux
        weight = jnp.maximum(weight, jnp.finfo(jnp.float32).tiny)  # 0: no clip counts
        grads, named = jax.tree.map(lambda x: x / weight, (grads, named))
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        new = TrainState(state.step + 1, params, batch_stats, opt_state)
        if recipe.ema_decay:
            decay = recipe.ema_decay
            averaged = ema.update(state.averaged, new.variables, state.step, decay)
            new = new.replace(averaged=averaged)
        return new, {f"loss/{name}": value for name, value in named.items()} | {
            "loss": sum(named.values()),
            "accuracy": accuracy,
            "grad_norm": optax.tree.norm(grads),
        }

    return step


def _losses(logits, label, multi_label: bool, recipe: Recipe) -> losses.Losses:
    if recipe.label_smoothing:
        label = losses.smooth(losses.as_shares(label, logits.shape[-1]), recipe.label_smoothing)
    kind = losses.binary_cross_entropy if multi_label else losses.cross_entropy
    return kind(logits, label, recipe.class_weights)


def _accuracy(logits, label):
    """The share of rows whose highest logit is at the label, or at the highest of several."""
    best = jnp.argmax(logits, -1)
    if label.ndim == 1:
        return jnp.mean(best == label)
    at_best = jnp.take_along_axis(label, best[:, None], axis=1)[:, 0]
    return jnp.mean(at_best == label.max(axis=1))
