"""Runs of earlier versions, from `tests/versions`, continue, evaluate and predict."""

import json
import shutil
import tarfile

import numpy as np
import pytest

from jaxaction.commands import eval, train
from jaxaction.commands.predict import Predictor
from jaxaction.version import VERSION
from tests.paths import ROOT

ARCHIVES = sorted((ROOT / "tests" / "versions").glob("*.tar.gz"))
RUNS = [(archive, name) for archive in ARCHIVES for name in ("tsm", "slowfast")]
IDS = [f"{archive.name.removesuffix('.tar.gz')}-{name}" for archive, name in RUNS]


@pytest.fixture(scope="module", params=RUNS, ids=IDS)
def unpacked(request, tmp_path_factory):
    """The folder of a user's project, and the name of a run in it."""
    archive, name = request.param
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder, name


@pytest.fixture
def project(unpacked, tmp_path, monkeypatch):
    """A copy of the folder, as the current one; the run's name; the probabilities of its test."""
    folder, name = unpacked
    copy = tmp_path / "project"
    shutil.copytree(folder, copy)
    monkeypatch.chdir(copy)
    return copy, name, probabilities(copy / "runs" / name / "eval" / "test.npz")


def probabilities(path):
    with np.load(path) as file:
        assert file["ids"].tolist() == [f"clips/test{i}.mp4" for i in range(6)]
        return file["probs"]


def arguments(folder, name, *more):
    """Returns the run's command line, as `train.py` got it."""
    config, *flags = (folder / f"{name}.flags").read_text().split()
    return ["--config", str(ROOT / config), *flags, "--workdir", f"runs/{name}", *more]


def test_a_run_continues_as_the_earlier_version_would(project, capsys):
    folder, name, _ = project
    train.main(arguments(folder, name, "--config.train.epochs=3"))
    assert f"{name} goes on after step 6 of 9 steps" in capsys.readouterr().out
    expected = probabilities(folder / "after" / f"{name}.npz")
    after = probabilities(folder / "runs" / name / "eval" / "test.npz")
    # Three steps of another JAX release; batch norms over few values enlarge rounding errors.
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-4)
    written = json.loads((folder / "runs" / name / "config.json").read_text())["written"]
    assert written == {"version": VERSION, "workdir": str(folder / "runs" / name)}


def test_a_finished_run_is_tested_again(project, capsys):
    folder, name, expected = project
    train.main(arguments(folder, name, "--config.train.epochs=2"))
    assert "goes on after step 6 of 6 steps" in capsys.readouterr().out
    after = probabilities(folder / "runs" / name / "eval" / "test.npz")
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-5)  # rounding of another JAX


def test_a_run_is_evaluated_from_any_folder(project, tmp_path, monkeypatch, capsys):
    folder, name, expected = project
    monkeypatch.chdir(tmp_path)
    eval.main(["--workdir", str(folder / "runs" / name)])
    assert capsys.readouterr().out.splitlines()[-1].startswith("test top-1 ")
    after = probabilities(folder / "runs" / name / "eval" / "test.npz")
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-5)  # rounding of another JAX


def test_the_best_weights_are_evaluated(project):
    folder, name, _ = project
    eval.main(["--workdir", f"runs/{name}/best"])
    best = probabilities(folder / "runs" / name / "best" / "eval" / "test.npz")
    assert best.shape == (6, 3)


def test_a_run_predicts_the_probabilities_of_its_test(project):
    _, name, expected = project
    predict = Predictor(f"runs/{name}")
    assert predict.labels == ("red", "green", "blue")
    prediction = predict("clips/test3.mp4").probs
    np.testing.assert_allclose(prediction, expected[3], rtol=0, atol=1e-5)  # as above


def test_a_new_run_starts_from_weights_of_an_earlier_version(project, capsys):
    folder, name, _ = project
    flags = arguments(folder, name, f"--config.init_from=runs/{name}", "--config.train.epochs=1")
    train.main([*flags, "--workdir", "runs/new"])
    printed = capsys.readouterr().out
    assert "the classifier of 3 classes is kept" in printed and "takes 3 steps" in printed
