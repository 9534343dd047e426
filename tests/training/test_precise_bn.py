import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaction.models.layer_options import LayerOptions
from jaxaction.models.layers import BatchNorm
from jaxaction.runtime import sharding
from jaxaction.training import precise_bn

MEAN, STD = (100.0,), (2.0,)


class Network(nn.Module):
    """A norm of the pixels, and one of the squares of what comes out of it."""

    bn_group: int = 0
    frozen: bool = False

    @nn.compact
    def __call__(self, clip, train):
        options = LayerOptions(bn_group=self.bn_group)
        x = BatchNorm(options, name="first")(clip, train)
        return BatchNorm(options, name="second")(x**2, train and not self.frozen)


@pytest.fixture(scope="module")
def clips():
    """Three batches of two dark and two bright clips, each batch brighter than the one before."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 20, (3, 4, 1, 3, 3, 1))
    batches, pairs = np.array([0, 90, 180]), np.array([0, 0, 30, 30])
    return (noise + (batches[:, None] + pairs)[:, :, None, None, None, None]).astype(np.uint8)


def computed(clips, wanted=12, parts=1, **fields):
    model = Network(**fields)
    variables = model.init(jax.random.key(0), jnp.zeros((2, 1, 3, 3, 1)), False)
    variables["batch_stats"]["second"]["mean"] += 7
    settings = precise_bn.PreciseBNSettings(wanted, len(clips[0]), parts, MEAN, STD)
    loader = iter([{"clip": batch} for batch in clips])
    got = precise_bn.statistics(model, variables, loader, sharding.device_mesh(), settings)
    assert len(list(loader)) == len(clips) - -(-wanted // len(clips[0]))  # the rest is not read
    return got, variables


def first_of(statistics):
    stats = statistics["batch_stats"]["first"]
    return [float(stats[name][0]) for name in ("mean", "var")]


@pytest.mark.parametrize(("parts", "bn_group"), [(1, 0), (2, 0), (1, 2)])
def test_statistics_are_those_of_all_clips_at_once(clips, parts, bn_group):
    pixels = (clips.astype(np.float64) - MEAN) / STD
    got, _ = computed(clips, parts=parts, bn_group=bn_group)
    np.testing.assert_allclose(first_of(got), [pixels.mean(), pixels.var()], rtol=1e-5)  # float32


def test_the_mean_of_the_batches_variances_is_not_what_is_meant(clips):
    """The batches differ by more than what is in them: 50 standard deviations, squared."""
    assert first_of(computed(clips)[0])[1] > 10 * np.mean([(batch / 2).var() for batch in clips])


def test_groups_of_training_don_t_divide_what_norms_see(clips):
    """The second norm's input is what the first makes of a whole batch, not of its pairs."""
    squares = np.stack([((batch - batch.mean()) / batch.std()) ** 2 for batch in clips / 2])
    got, _ = computed(clips, bn_group=2)
    stats = got["batch_stats"]["second"]
    np.testing.assert_allclose(stats["var"], [squares.var()], rtol=1e-4)  # the norm's epsilon
    np.testing.assert_allclose(stats["mean"], [1], rtol=1e-4)


def test_clips_are_rounded_up_to_whole_batches(clips):
    one = (clips[0] - 100.0) / 2
    np.testing.assert_allclose(first_of(computed(clips, 3)[0]), [one.mean(), one.var()], rtol=1e-5)
    two = (clips[:2] - 100.0) / 2
    np.testing.assert_allclose(first_of(computed(clips, 5)[0]), [two.mean(), two.var()], rtol=1e-5)


def test_norms_that_don_t_learn_statistics_keep_theirs(clips):
    got, variables = computed(clips, frozen=True)
    jax.tree.map(
        np.testing.assert_array_equal,
        got["batch_stats"]["second"],
        variables["batch_stats"]["second"],
    )
    assert first_of(got) != first_of(variables)


def test_no_clips_give_no_statistics(clips):
    assert computed(clips, 0)[0] == {}
