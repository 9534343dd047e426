import jax
import jax.numpy as jnp
import pytest

from jaxaction.models import layers
from jaxaction.runtime import xla_options

BOTH = [xla_options.for_inference, xla_options.for_training]


@pytest.fixture(autouse=True)
def no_flags(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)


@pytest.mark.parametrize("options", BOTH)
def test_pinned_jaxlib_leaves_convolutions_to_eigen(options):
    x, kernel = jnp.ones((1, 8, 8, 32)), jnp.ones((3, 3, 32, 32))

    def conv(x, kernel):
        names = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=names)

    lowered = jax.jit(conv).lower(x, kernel)
    assert "__ynn_fusion" in lowered.compile().as_text()  # what the options are there to change
    assert "__ynn_fusion" not in lowered.compile(compiler_options=options()).as_text()


def test_sums_stay_with_ynnpack_in_training_alone():
    lowered = jax.jit(lambda x: x.sum(0)).lower(jnp.ones((4096, 64)))
    texts = [lowered.compile(compiler_options=options()).as_text() for options in BOTH]
    assert ["__ynn_fusion" in text for text in texts] == [False, True]


@pytest.mark.parametrize("options", BOTH)
def test_products_go_to_ynnpack_without_what_surrounds_them(options):
    x, kernel = jnp.ones((4096, 64)), jnp.ones((64, 64))

    def block(x, kernel):  # two products, and enough around them to be taken for one large fusion
        x = jax.nn.relu(x @ kernel + 1) + x
        return jax.nn.relu(x @ kernel + 1) + x

    text = jax.jit(block).lower(x, kernel).compile(compiler_options=options()).as_text()
    bodies = [body for body in text.split("\n\n") if " dot(" in body]
    assert text.count("__ynn_fusion") == len(bodies) == 2
    assert not any(" maximum(" in body or " add(" in body for body in bodies)


def test_repeatable_training_is_asked_of_gpus_by_an_option_that_the_jaxlib_has():
    asked = {"xla_gpu_deterministic_ops": True}
    assert xla_options.for_training(True) == xla_options.for_training() | asked
    assert asked.keys().isdisjoint(xla_options.for_training())
    jax.jit(lambda x: x + 1).lower(1.0).compile(compiler_options=asked)


def test_pooling_has_a_gradient_that_gpus_can_repeat():
    """XLA refuses to compile `select_and_scatter`, that of a `reduce_window`, to the same bits."""
    pool = layers.max_pool
    lowered = jax.jit(jax.grad(lambda x: pool(x, (1, 3, 3), (1, 2, 2), (0, 1, 1)).sum()))
    assert "select_and_scatter" not in lowered.lower(jnp.ones((1, 2, 8, 8, 4))).as_text()


@pytest.mark.parametrize("options", BOTH)
def test_option_in_the_environment_is_the_users(options, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_experimental_ynn_fusion_type=+eltwise")
    assert options() == {}


@pytest.mark.parametrize("options", BOTH)
def test_jaxlib_without_the_option_gets_none(options, monkeypatch):
    monkeypatch.setattr(xla_options, "_KEY", "xla_cpu_no_such_option")
    assert options() == {}


@pytest.mark.parametrize("options", BOTH)
def test_gpu_gets_no_option_of_cpus(options, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert options() == {}


def test_barriers_before_what_a_step_computes_again_are_kept():
    def loss(x, kernel):
        return jax.checkpoint(lambda x: jnp.sin(jnp.sin(x @ kernel) @ kernel))(x).sum()

    lowered = jax.jit(jax.grad(loss)).lower(jnp.ones((64, 64)), jnp.ones((64, 64)))
    for remat in (True, False):
        text = lowered.compile(compiler_options=xla_options.for_training(remat=remat)).as_text()
        assert ("opt-barrier(" in text) == remat


def test_computing_again_asks_for_nothing_on_gpus_or_where_the_environment_says_something(
    monkeypatch,
):
    monkeypatch.setenv("XLA_FLAGS", "--xla_disable_hlo_passes=dce")
    assert xla_options.for_training(remat=True) == xla_options.for_training()
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert xla_options.for_training(remat=True) == {}
