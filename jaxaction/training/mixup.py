"""Clips and labels of a batch mixed with one another, inside the jitted step: mixup and cutmix.

Clips are normalised `[n, t, h, w, c]` and keep their dtype; targets are soft labels `[n, k]`, whose
sums stay. A draw holds for the whole batch: one ratio, one box, and one random order of partners
(in which a clip may meet itself). Under a sharded batch the partners come from all devices.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

Clips = Float[Array, "n t h w c"]
Targets = Float[Array, "n k"]


def mixup(
    key: Key[Array, ""], clips: Clips, targets: Targets, alpha: float
) -> tuple[Clips, Targets]:
    """Returns `ratio * own + (1 - ratio) * partner` of clips and of targets.

    The ratio is drawn from Beta(alpha, alpha); alpha 0 changes nothing. Zhang et al. 2018,
    equation 2.
    """
    if not alpha:
        return clips, targets
    ratio_key, mix_key = jax.random.split(key)
    return _mixup(mix_key, clips, targets, _ratio(ratio_key, alpha))


def cutmix(
    key: Key[Array, ""], clips: Clips, targets: Targets, alpha: float
) -> tuple[Clips, Targets]:
    """Returns clips with a box of their partner's pixels, the same in all frames.

    The share of the picture that stays is drawn from Beta(alpha, alpha). The box has its shape and
    its centre anywhere, so that part of it may lie outside; targets mix by the share that was
    really replaced. alpha 0 changes nothing. Yun et al. 2019, section 3.1.
    """
    if not alpha:
        return clips, targets
    ratio_key, mix_key = jax.random.split(key)
    return _cutmix(mix_key, clips, targets, _ratio(ratio_key, alpha))


def mix(
    key: Key[Array, ""],
    clips: Clips,
    targets: Targets,
    mixup_alpha: float,
    cutmix_alpha: float,
) -> tuple[Clips, Targets]:
    """Returns the batch after `mixup`, `cutmix`, or one of the two, drawn with even odds.

    An alpha of 0 turns its kind off.
    """
    if not mixup_alpha or not cutmix_alpha:
        return cutmix(key, *mixup(key, clips, targets, mixup_alpha), cutmix_alpha)
    choice_key, ratio_key, mix_key = jax.random.split(key, 3)
    choice = jax.random.bernoulli(choice_key)
    ratio = _ratio(ratio_key, jnp.where(choice, mixup_alpha, cutmix_alpha))
    return jax.lax.cond(choice, _mixup, _cutmix, mix_key, clips, targets, ratio)


def _ratio(key, alpha):
    """A draw from Beta(alpha, alpha); `jax.random.beta` compiles half as long again."""
    first, second = jax.random.loggamma(key, alpha, (2,))
    return jax.nn.sigmoid(first - second)


def _mixup(key, clips, targets, ratio):
    order = jax.random.permutation(key, len(clips))
    return _blend(ratio, clips, order), _blend(ratio, targets, order)


def _cutmix(key, clips, targets, ratio):
    box_key, order_key = jax.random.split(key)
    inside = _box(box_key, clips.shape[2:4], 1 - ratio)
    order = jax.random.permutation(order_key, len(clips))
    mixed = jnp.where(inside[:, :, None], jnp.take(clips, order, axis=0), clips)
    return mixed, _blend(1 - inside.mean(), targets, order)


def _blend(ratio, own, order):
    """In float32, since in bfloat16 `ratio` and `1 - ratio` need not sum to 1."""
    partner = jnp.take(own, order, axis=0)
    return (ratio * own + (1 - ratio) * partner).astype(own.dtype)


def _box(key, size, share):
    """Returns bool `[h, w]`, True in a box of about `share` of the picture and of its shape."""
    centre = jax.random.uniform(key, (2,)) * jnp.array(size)
    half = jnp.sqrt(share) * jnp.array(size) / 2
    low, high = jnp.round(centre - half), jnp.round(centre + half)
    y, x = (jnp.arange(side) for side in size)
    rows, columns = (y >= low[0]) & (y < high[0]), (x >= low[1]) & (x < high[1])
    return rows[:, None] & columns
