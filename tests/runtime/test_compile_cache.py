import jax
import pytest

from jaxaction.runtime import compile_cache


@pytest.fixture
def folder(monkeypatch):
    """Calls it in an environment; returns the folder that JAX was told, if any."""

    def told(**environment):
        seen = {}
        for name in ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr(jax.config, "update", seen.__setitem__)
        compile_cache.keep_compiled_programs()
        return seen.get("jax_compilation_cache_dir")

    return told


def test_programs_are_kept_in_the_users_cache(folder, tmp_path):
    assert folder(XDG_CACHE_HOME=tmp_path) == str(tmp_path / "jaxaction" / "xla")
    assert folder(HOME=tmp_path) == str(tmp_path / ".cache" / "jaxaction" / "xla")


def test_a_folder_that_jax_was_given_stays(folder, tmp_path):
    assert folder(JAX_COMPILATION_CACHE_DIR=tmp_path / "own", XDG_CACHE_HOME=tmp_path) is None


def test_nothing_is_kept_where_nothing_can_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("")
    assert folder(XDG_CACHE_HOME=tmp_path / "file") is None
