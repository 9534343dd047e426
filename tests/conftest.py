"""All tests share compiled programs, give memory back, and name the skips that are allowed."""

import fnmatch
import os
import shutil
import tempfile
from pathlib import Path

import pytest

_OWN_CACHE = "JAXACTION_TESTS_OWN_CACHE"  # the folder of compiled programs that this session made
_LARGE = 2**30  # bytes; a process that holds more gives freed memory back after each test

# Both workers and the processes that tests start share compiled programs, and no run depends on an
# earlier one. JAX reads these when it is imported, so they are set before.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ[_OWN_CACHE] = os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp()
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

import tests.typecheck  # noqa: E402

# Each call checks its arguments and results against the annotations, shapes included. What a
# hostile pickle gives to functions of `torch_pickle` is of any type, and may take ages to print.
_PACKAGE = Path(__file__).parents[1] / "jaxaction"
_NAMES = [path.stem for path in _PACKAGE.iterdir() if path.stem != "interop"]
_NAMES += [f"interop.{path.stem}" for path in (_PACKAGE / "interop").glob("*.py")]
_CHECKED = [f"jaxaction.{name}" for name in _NAMES if name != "interop.pth"]
install_import_hook(_CHECKED, "tests.typecheck.check")

from jaxaction.runtime import host_memory  # noqa: E402
from tests import memory  # noqa: E402


def pytest_unconfigure(config):
    if _OWN_CACHE in os.environ and not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ[_OWN_CACHE], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def freed_memory_is_not_kept():
    """A test that calls `run_main` here would have this process hold its peak until it ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_memory, "keep_freed_memory", lambda: False)
        yield


@pytest.fixture
def values_of_wrong_types():
    """For tests of the messages that such values get: annotations are not checked meanwhile."""
    with tests.typecheck.off():
        yield


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_dropped():
    yield
    jax.clear_caches()
    memory.give_back()


@pytest.fixture(autouse=True)
def memory_of_a_large_test_is_given_back():
    yield
    if memory.held_bytes() > _LARGE:
        memory.give_back()


def skips_that_are_named() -> list[tuple[str, str]]:
    """Patterns of tests that may be skipped, each with the reason that the test gives."""
    lines = Path(__file__).with_name("skips.txt").read_text("utf-8").splitlines()
    return [tuple(line.split(": ", 1)) for line in lines if line and not line.startswith("#")]


def refuse_unnamed_skip(report) -> None:
    """With JAXACTION_STRICT_SKIPS=1, turns a skip that skips.txt doesn't name into a failure."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    if os.environ.get("JAXACTION_STRICT_SKIPS") != "1":
        return
    said = report.longrepr[2]
    for pattern, reason in skips_that_are_named():
        if fnmatch.fnmatchcase(report.nodeid, pattern) and reason in said:
            return
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: {said}; mend it, or name it in tests/skips.txt"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    refuse_unnamed_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    report = yield
    refuse_unnamed_skip(report)
    return report
