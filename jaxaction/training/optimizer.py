"""The optimizer: one optax chain in PyTorch's order, a regex table of multipliers, a schedule."""

import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxaction.errors import InputError


class Schedule(NamedTuple):
    """A learning rate as a closed form of the step: base x warm-up factor x decay factor.

    `warmup_by` and `decay_by` are "step" or "epoch"; by epoch the rate is a staircase. The warm-up
    rises from `warmup_start` to 1, which it reaches in its last step (or epoch), like mmengine's
    LinearLR. A cosine falls to 0 over `decay_epochs` from `decay_begin_epochs` on; it runs during
    the warm-up if both begin at 0. "steps" multiplies by `gamma` at each of `milestones` (epochs).
    """

    learning_rate: float
    steps_per_epoch: int
    warmup_epochs: float = 0.0
    warmup_start: float = 0.1
    warmup_by: str = "step"
    decay: str = "constant"
    decay_begin_epochs: float = 0.0
    decay_epochs: float = 0.0
    decay_by: str = "step"
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1

    def __call__(self, step: jax.Array | int) -> jax.Array:
        """The learning rate, float32, of the step that has `step` steps before it."""
        return self.learning_rate * _warmup(self, step) * _decay(self, step)


def check_schedule(schedule: Schedule) -> None:
    """Raises InputError for a decay or a unit that does not exist."""
    for key, value, known in (
        ("decay", schedule.decay, ("constant", "cosine", "steps")),
        ("warmup_by", schedule.warmup_by, ("step", "epoch")),
        ("decay_by", schedule.decay_by, ("step", "epoch")),
    ):
        if value not in known:
            raise InputError(f"optim.{key} {value!r} is none of {', '.join(known)}")
    if schedule.decay == "cosine" and schedule.decay_epochs <= 0:
        raise InputError("optim.decay_epochs must be above 0 for a cosine")


def check_warmup(warmup_epochs: float, warmup_by: str) -> None:
    """Raises InputError for a warm-up in epochs where `warmup_samples` gives it in samples."""
    if warmup_epochs:
        raise InputError(
            f"optim.warmup_samples and optim.warmup_epochs {warmup_epochs:g} both say how long the"
            " warm-up is; set one of them to 0"
        )
    if warmup_by != "step":
        raise InputError(
            f"optim.warmup_by {warmup_by} makes whole epochs of optim.warmup_samples; set"
            " optim.warmup_by to step"
        )


def _units(s: Schedule, by: str, epochs: float) -> int:
    return round(epochs) if by == "epoch" else round(epochs * s.steps_per_epoch)


def _count(s: Schedule, by: str, step: jax.Array | int) -> jax.Array | int:
    return step // s.steps_per_epoch if by == "epoch" else step


def _warmup(s: Schedule, step: jax.Array | int) -> jax.Array:
    last = _units(s, s.warmup_by, s.warmup_epochs) - 1
    if last < 1:
        return jnp.float32(1)
    done = jnp.minimum(_count(s, s.warmup_by, step), last) / last
    return s.warmup_start + (1 - s.warmup_start) * done


def _decay(s: Schedule, step: jax.Array | int) -> jax.Array:
    if s.decay == "cosine":
        begin = _units(s, s.decay_by, s.decay_begin_epochs)
        length = _units(s, s.decay_by, s.decay_epochs)
        left = jnp.clip(length + begin - _count(s, s.decay_by, step), 0, length)
        # (1 + cos(pi x)) / 2 = sin^2(pi (1 - x) / 2), which keeps its digits near the end.
        return jnp.sin(jnp.pi / 2 * (left / length)) ** 2
    if s.decay == "steps":
        milestones = jnp.asarray([_units(s, "step", m) for m in s.milestones], jnp.int32)
        return jnp.float32(s.gamma) ** jnp.sum(step >= milestones)
    return jnp.float32(1)


def scaled_rate(learning_rate: float, batch_size: int, reference_batch: int) -> float:
    """The learning rate, scaled linearly with the global batch (Goyal et al. 2017).

    With a `reference_batch` of 0 it is not scaled.
    """
    return learning_rate * batch_size / reference_batch if reference_batch else learning_rate


def multipliers(path: str, table: tuple) -> tuple[float, float]:
    """(learning rate, weight decay) multipliers of the parameter `a/b/c`.

    They are those of the first row whose regular expression matches the full path, else (1, 1).
    """
    for pattern, rate, decay in table:
        if re.fullmatch(pattern, path):
            return rate, decay
    return 1.0, 1.0


def check_table(table: tuple) -> None:
    """Raises InputError for a row that is not (regular expression, number, number)."""
    for row in table:
        try:
            pattern, rate, decay = row
            re.compile(pattern)
            float(rate), float(decay)
        except (TypeError, ValueError, re.error):
            raise InputError(
                f"optim.multipliers has the row {row!r}; a row is (regular expression of the"
                " parameter's path, learning-rate multiplier, weight-decay multiplier)"
            ) from None


def path_name(path: tuple) -> str:
    """`a/b/c` of a key path of jax.tree_util."""
    return "/".join(str(key.key) for key in path)


def clip_by_global_norm(max_norm: float) -> optax.GradientTransformation:
    """Scales gradients by min(1, max_norm / (norm + 1e-6)), as torch's clip_grad_norm_."""

    def clip(updates, params):
        scale = jnp.minimum(1.0, max_norm / (optax.tree.norm(updates) + 1e-6))
        return jax.tree.map(lambda g: g * scale, updates)

    return optax.stateless(clip)


def add_weight_decay(weight_decay: float, table: tuple) -> optax.GradientTransformation:
    """Adds weight_decay x multiplier x parameter to every update."""

    def add(path, update, param):
        factor = weight_decay * multipliers(path_name(path), table)[1]
        return update + factor * param if factor else update

    return optax.stateless(lambda u, p: jax.tree_util.tree_map_with_path(add, u, p))


def scale_by_multiplier(table: tuple) -> optax.GradientTransformation:
    """Multiplies every update by its learning-rate multiplier."""

    def scale(path, update):
        return update * multipliers(path_name(path), table)[0]

    return optax.stateless(lambda u, p: jax.tree_util.tree_map_with_path(scale, u))


def freeze(
    optimizer: optax.GradientTransformation, names: frozenset[str]
) -> optax.GradientTransformation:
    """`optimizer` for all parameters except these, which stay the same to the bit.

    Frozen parameters have no weight decay and no moments, and don't count in the clipped norm.
    """

    def labels(params):
        return jax.tree_util.tree_map_with_path(
            lambda path, _: "frozen" if path_name(path) in names else "trained", params
        )

    if not names:
        return optimizer
    # Adding -0.0 changes no number; adding 0.0 would turn -0.0 into 0.0.
    no_update = optax.chain(optax.set_to_zero(), optax.scale(-1.0))
    return optax.partition({"trained": optimizer, "frozen": no_update}, labels)


def chain(
    name: str,
    schedule: Schedule,
    momentum: float,
    weight_decay: float,
    clip_norm: float,
    table: tuple,
) -> optax.GradientTransformation:
    """The optimizer `name`: "sgd" and "adam" add the weight decay to the gradient as
    torch.optim.SGD and Adam do, "adamw" to Adam's direction (Loshchilov and Hutter 2019).

    `momentum` is SGD's; Adam has betas 0.9 and 0.999, eps 1e-8. A `clip_norm` of 0 clips nothing.
    `table` holds rows (regular expression, learning-rate multiplier, weight-decay multiplier).
    """
    decay = add_weight_decay(weight_decay, table)
    directions = {
        "sgd": (decay, optax.trace(momentum)),
        "adam": (decay, optax.scale_by_adam()),
        "adamw": (optax.scale_by_adam(), decay),
    }
    check_table(table)
    if name not in directions:
        raise InputError(f"optim.name {name!r} is none of {', '.join(directions)}")
    return optax.chain(
        clip_by_global_norm(clip_norm) if clip_norm else optax.identity(),
        *directions[name],
        scale_by_multiplier(table),
        optax.scale_by_schedule(lambda step: -schedule(step)),
    )
