import jax
import jax.numpy as jnp
import pytest

from jaxaction import xla_options


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    xla_options.for_inference.cache_clear()
    yield
    xla_options.for_inference.cache_clear()


def test_networks_compile_under_the_options():
    double = jax.jit(lambda x: 2 * x, compiler_options=xla_options.for_inference())
    assert double(jnp.float32(3)) == 6


def test_pinned_jaxlib_leaves_convolutions_to_eigen():
    x, kernel = jnp.ones((1, 8, 8, 32)), jnp.ones((3, 3, 32, 32))

    def conv(x, kernel):
        names = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=names)

    lowered = jax.jit(conv).lower(x, kernel)
    assert "__ynn_fusion" in lowered.compile().as_text()  # what the options are there to change
    options = xla_options.for_inference()
    assert "__ynn_fusion" not in lowered.compile(compiler_options=options).as_text()


def test_option_in_the_environment_is_the_users(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_experimental_ynn_fusion_type=+eltwise")
    assert xla_options.for_inference() == {}


def test_jaxlib_without_the_option_gets_none(monkeypatch):
    monkeypatch.setattr(xla_options, "_CPU_INFERENCE", {"xla_cpu_no_such_option": "1"})
    assert xla_options.for_inference() == {}


def test_gpu_gets_no_option_of_cpus(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert xla_options.for_inference() == {}
