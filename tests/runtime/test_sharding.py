import jax
import numpy as np
import pytest

from jaxaction.errors import InputError
from jaxaction.runtime import sharding


class TwoDevices:
    size = 2


@pytest.mark.usefixtures("values_of_wrong_types")
def test_batch_that_does_not_divide_over_the_devices_is_refused():
    with pytest.raises(
        InputError,
        match="train.batch_size 7 is not a multiple of the 2 devices; "
        "set train.batch_size to 6 or 8",
    ):
        sharding.check_batch(7, TwoDevices())
    with pytest.raises(InputError, match="set train.batch_size to 2$"):
        sharding.check_batch(1, TwoDevices())
    sharding.check_batch(8, TwoDevices())


def test_batch_lies_on_the_devices_as_it_was():
    rows = np.arange(6, dtype=np.uint8).reshape(2, 3)
    mesh = sharding.device_mesh()
    got = sharding.put({"clip": rows}, mesh)["clip"]
    assert got.sharding == sharding.split(mesh)
    np.testing.assert_array_equal(got, rows)


def test_abstract_twin_has_the_replicated_sharding():
    mesh = sharding.device_mesh()
    twin = sharding.abstract({"a": np.zeros((2, 3), np.float32)}, mesh)["a"]
    assert (twin.shape, twin.dtype) == ((2, 3), np.float32)
    assert twin.sharding == jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
