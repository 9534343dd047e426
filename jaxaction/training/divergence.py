"""Ends a run that diverges, and names the step, its learning rate and its videos."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxaction.errors import InputError

_WAYS = "lower optim.learning_rate, set a lower optim.clip_norm (0: off), or set compute to float32"


def loss_limit(factor: float, num_classes: int, multi_label: bool) -> float:
    """`factor` times the loss of a network that guesses: the same probability for every class.

    This scale holds for a run of any length. A mean of the latest losses would fall towards zero,
    and an ordinary difficult batch would look like an explosion.

    >>> round(loss_limit(50.0, 400, False), 1), round(loss_limit(50.0, 400, True), 1)
    (299.6, 34.7)
    """
    return factor * math.log(2 if multi_label else max(2, num_classes))


class DivergenceCheck(NamedTuple):
    """Raises InputError when a run diverges.

    It remembers nothing from step to step, so that a resumed run ends where an undisturbed one
    would.
    """

    learning_rate: Callable[[int], Any]  # learning_rate(n) is that of step n + 1
    video_id: Callable[[int], str]
    max_loss: float  # 0: any

    def check_metrics(
        self, step: int, metrics: Mapping[str, ArrayLike], videos: np.ndarray
    ) -> None:
        """Raises InputError if the loss or the gradient of `step` is not finite or too large.

        `videos` are the indices of its batch (on several processes, this process's share).
        """
        for name in ("loss", "grad_norm"):
            if not math.isfinite(metrics[name]):
                raise InputError(
                    f"step {step}: {name} is {metrics[name]}; {self._where(step, videos)}; {_WAYS}"
                )
        if self.max_loss and metrics["loss"] > self.max_loss:
            raise InputError(
                f"step {step}: loss {metrics['loss']:.4g} is above {self.max_loss:.4g},"
                " train.max_loss_factor times that of guessing;"
                f" {self._where(step, videos)}; {_WAYS}, or raise train.max_loss_factor (0: any)"
            )

    def check_state(self, state: Any, videos: np.ndarray) -> None:
        """Raises InputError if an array of the state, about to be saved, is not finite.

        A learning rate that is too high can do that, even if loss and gradient are finite.
        """
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            if not _finite(leaf):
                name = jax.tree_util.keystr(path, simple=True, separator="/")
                step = int(state.step)
                raise InputError(
                    f"step {step}: {name} is not finite; {self._where(step, videos)}; {_WAYS}"
                )

    def _where(self, step: int, videos: np.ndarray) -> str:
        names = ", ".join(dict.fromkeys(self.video_id(int(index)) for index in videos))
        rate = float(self.learning_rate(step - 1))
        return f"checkpoints before it are kept; learning rate {rate:.4g}, videos {names}"


def _finite(leaf: jax.Array) -> bool:
    if not jax.numpy.issubdtype(leaf.dtype, np.inexact):
        return True
    local = leaf.addressable_data(0) if leaf.is_fully_replicated else leaf
    return bool(np.isfinite(local).all())
