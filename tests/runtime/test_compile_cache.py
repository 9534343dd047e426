import os
import subprocess
import sys

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


PROGRAM = """
import sys
from jaxaction.runtime import compile_cache
compile_cache.keep_compiled_programs()
import jax
print(jax.jit(lambda x: x * 3 + 1)(2) + jax.jit(lambda x: x * 0)(2))
"""


def start(cache, before=""):
    settings = {"XDG_CACHE_HOME": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    settings |= {"JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-c", before + PROGRAM]
    done = subprocess.run(command, env=environment | settings, capture_output=True, text=True)
    assert done.stdout == "7\n"
    return done.stderr


def test_a_damaged_entry_is_replaced_without_a_word(tmp_path):
    assert start(tmp_path) == ""
    entries = list((tmp_path / "jaxaction" / "xla").glob("*-cache"))
    sizes = {entry: entry.stat().st_size for entry in entries}
    assert entries
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:20])
    assert start(tmp_path) == ""
    assert {entry: entry.stat().st_size for entry in entries} == sizes


def test_a_full_cache_is_named_once(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    error = start(tmp_path, limit)
    assert error.count("can't be kept in") == 1
