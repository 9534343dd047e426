"""How much device memory a compiled training step needs, and which batch would fill a device."""

import math
from typing import NamedTuple

import jax

from jaxaction.errors import InputError
from jaxaction.runtime import device_memory
from jaxaction.train_state import TrainState

GIB = 2**30


class Footprint(NamedTuple):
    """Bytes on each device, as the compiler counts them, and the global batch they are for."""

    parameters: int  # their number, not bytes
    state: int  # parameters, statistics, optimizer
    gradients: int
    peak: int  # everything that the program needs at once
    batch_size: int
    devices: int

    @property
    def activations(self) -> int:
        """The part that grows with the batch: clips, activations and their gradients."""
        return max(0, self.peak - self.state - self.gradients)

    def largest_batch(self, memory: int, multiple: int) -> int:
        """The global batch that would fit into `memory` bytes a device, a multiple of `multiple`.

        An estimate: it takes activations as proportional to the batch, which they are only roughly.
        """
        left = memory - self.state - self.gradients
        clips = self.batch_size * left // max(1, self.activations)
        return max(0, clips // multiple * multiple)


def measure(program: jax.stages.Compiled, state: TrainState, batch_size: int) -> Footprint:
    """The footprint of a compiled training step that takes `state`, whole on each device, and
    `batch_size` clips, divided over them."""
    parameters = _bytes(state.params)
    return Footprint(
        parameters=sum(math.prod(x.shape) for x in jax.tree.leaves(state.params)),
        state=_bytes(state),
        gradients=parameters,
        peak=device_memory.needed(program),
        batch_size=batch_size,
        devices=jax.device_count(),
    )


def line(footprint: Footprint, memory: int, multiple: int) -> str:
    """`0.13 M parameters; a step takes 0.41 GiB a device (...) of 11.00 GiB; a batch of ...`."""
    largest = footprint.largest_batch(memory, multiple)
    fits = f"a batch of about {largest} would fit" if largest else "no batch would fit"
    return (
        f"{footprint.parameters / 1e6:.2f} M parameters;"
        f" a step takes {_size(footprint.peak)} a device"
        f" (parameters and optimizer {_size(footprint.state)},"
        f" gradients {_size(footprint.gradients)},"
        f" activations {_size(footprint.activations)}) of {_size(memory)}; {fits}"
    )


def check_footprint(footprint: Footprint, memory: int) -> None:
    """Raises InputError if a step takes more than the `memory` bytes of a device."""
    if footprint.peak > memory:
        raise InputError(
            f"train.batch_size {footprint.batch_size} takes {_size(footprint.peak)} of a device's"
            f" {_size(memory)}; lower it, or set train.accumulate or model.remat"
        )


def _size(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB / 10 else f"{count / 2**20:.1f} MiB"


def _bytes(tree) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))
