"""Ends a run whose numbers have gone wrong, and says which step, rate and videos it was."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxaction.errors import InputError

_WAYS = "lower optim.learning_rate or optim.clip_norm, or set compute to float32"


def loss_limit(factor: float, num_classes: int, multi_label: bool) -> float:
    """`factor` times the loss of a network that guesses: the same probability for every class.

    That is the scale of a healthy run's losses whatever its length, where a mean of the latest
    steps falls towards zero and makes an ordinary difficult batch look like an explosion.

    >>> round(loss_limit(50.0, 400, False), 1), round(loss_limit(50.0, 400, True), 1)
    (299.6, 34.7)
    """
    return factor * math.log(2 if multi_label else max(2, num_classes))


class Guard(NamedTuple):
    """What a step's numbers are held against. Nothing of it is carried from step to step, so that
    a run that goes on ends where the undisturbed one does."""

    rate: Callable[[int], Any]  # the learning rate of the step with that many steps before it
    name: Callable[[int], str]  # a video's id
    max_loss: float  # 0: any

    def check(self, step: int, metrics: dict[str, np.ndarray], videos: np.ndarray) -> None:
        """Raises InputError if the loss or the gradient of `step` is not finite or too large.

        `videos` are the indices of its batch (on several processes, this one's).
        """
        for name in ("loss", "grad_norm"):
            if not math.isfinite(metrics[name]):
                raise InputError(
                    f"step {step}: {name} is {metrics[name]}; {self._about(step, videos)}; {_WAYS}"
                )
        if self.max_loss and metrics["loss"] > self.max_loss:
            raise InputError(
                f"step {step}: loss {metrics['loss']:.4g} is above {self.max_loss:.4g},"
                " train.max_loss_factor times that of guessing;"
                f" {self._about(step, videos)}; {_WAYS}, or raise train.max_loss_factor (0: any)"
            )

    def check_state(self, state: Any, videos: np.ndarray) -> None:
        """Raises InputError if an array of the state, about to be saved, is not finite.

        A step whose loss and gradient are finite can do that, by a learning rate that is too high.
        """
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            if not _finite(leaf):
                name = jax.tree_util.keystr(path, simple=True, separator="/")
                step = int(state.step)
                raise InputError(
                    f"step {step}: {name} is not finite; {self._about(step, videos)}; {_WAYS}"
                )

    def _about(self, step: int, videos: np.ndarray) -> str:
        names = ", ".join(dict.fromkeys(self.name(int(index)) for index in videos))
        rate = float(self.rate(step - 1))
        return f"checkpoints before it are kept; learning rate {rate:.4g}, videos {names}"


def _finite(leaf: jax.Array) -> bool:
    if not jax.numpy.issubdtype(leaf.dtype, np.inexact):
        return True
    here = leaf.addressable_data(0) if leaf.is_fully_replicated else leaf
    return bool(np.isfinite(here).all())
