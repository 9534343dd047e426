"""The wheel, installed outside the repository: its commands and configs work there.

It is built from the sdist, so the tests cover both. Nothing needs a network: the fresh environment
takes the dependencies from the one that runs the tests.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests import tiny_run
from tests.paths import ROOT

SOURCES = ("jaxaction", "configs", "docs", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md")
SOURCES += ("LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "constraints.txt", "train.py", "eval.py")
SOURCES += ("SECURITY.md", "CITATION.cff", "examples")
TINY = {
    "model.width": "4",
    "model.stage_blocks": "1,1",
    "model.num_classes": str(tiny_run.CLASSES),
    "data.source": "annotations",
    "data.train_file": "train.txt",
    "data.test_file": "test.txt",
    "data.clip_len": "8",
    "data.short_side": "20",
    "data.size": "16,16",
    "train.epochs": "1",
    "train.batch_size": "4",
}
TINY_FLAGS = [f"--config.{key}={value}" for key, value in TINY.items()]

# PYTHONPATH may name the repository, which would be imported before the installed package.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def run(*argv, **options):
    return subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns("__pycache__", "_build")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, folder / "source" / name)
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist")
    run(*build, folder / "source", check=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel):
    """The console script of a fresh environment with the wheel."""
    environment = wheel.parent.parent / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps")
    run(*pip, wheel, check=True)
    # A .pth file adds a folder to the path: here the one with the dependencies.
    (site_packages,) = environment.glob("lib/*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "jaxaction"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    tiny_run.write_clips(folder)
    return folder


@pytest.fixture
def jaxaction(installed, folder):
    """A function that runs a command outside the repository and returns its output."""

    def output(*argv):
        done = run(installed, *argv, cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return output


def files(folder: Path) -> set[str]:
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(name) for name in names if "__pycache__" not in name.parts}


def test_wheel_contains_the_package_and_its_configs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top.rpartition(".")[2] for top in tops} == {"jaxaction", "dist-info"}
    configs = {f"jaxaction/configs/{name}" for name in files(ROOT / "configs")}
    package = {f"jaxaction/{name}" for name in files(ROOT / "jaxaction")}
    assert {name for name in names if name.startswith("jaxaction/")} == package | configs


def test_no_module_named_configs_is_installed(installed, folder):
    python = installed.with_name("python")
    script = "import importlib.util as u, jaxaction; print(u.find_spec('configs'), jaxaction)"
    where = f"<module 'jaxaction' from '{installed.parents[1]}"
    assert run(python, "-c", script, cwd=folder).stdout.startswith(f"None {where}")


def test_zoo_lists_the_shipped_variants(jaxaction):
    assert "slowfast:r50-8x8-k400" in jaxaction("zoo")


def test_a_run_trains_is_tested_and_predicts(jaxaction):
    trained = jaxaction("train", "--config", "slowfast", "--workdir", "run", *TINY_FLAGS)
    line = trained.splitlines()[-1]
    assert line.startswith("test top-1 ") and line.endswith(f"({tiny_run.TEST} videos)")
    assert jaxaction("eval", "--workdir", "run").splitlines()[-1] == line
    assert jaxaction("predict", "test0.mp4", "--workdir", "run").count("\n") >= tiny_run.CLASSES


def test_a_copied_config_shows_its_clips(jaxaction, folder):
    jaxaction("zoo", "slowfast:r50-4x16-k400", "--copy", "mine.py")
    flags = ("--config", "mine.py", "--config.data.train_file=train.txt", "--out", "sheet.png")
    jaxaction("data", "show", *flags, "--videos", "1")
    assert (folder / "sheet.png").stat().st_size
