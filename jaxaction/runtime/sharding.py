"""One program for any number of devices and hosts: the batch is split, the state replicated."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxaction.errors import InputError


def device_mesh() -> Mesh:
    """All devices of all processes along the one axis "batch"."""
    return jax.make_mesh((jax.device_count(),), ("batch",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The first axis divided over the devices."""
    return NamedSharding(mesh, PartitionSpec("batch"))


def check_batch(batch_size: int, mesh: Mesh, key: str = "train.batch_size") -> None:
    """Raises InputError if the global batch does not divide evenly over the devices."""
    devices = mesh.size
    if batch_size < 1 or batch_size % devices:
        below = batch_size // devices * devices
        ways = f"{below} or {below + devices}" if below > 0 else str(devices)
        raise InputError(
            f"{key} {batch_size} is not a multiple of the {devices} devices; set {key} to {ways}"
        )


def put(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Puts the global batch on the devices; each process gives its rows of it."""
    sharding = split(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, rows) for name, rows in batch.items()
    }


def abstract(tree, mesh: Mesh):
    """Shapes and dtypes of `tree`, replicated over the mesh; checkpoints are restored into them."""
    sharding = replicated(mesh)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
