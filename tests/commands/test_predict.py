"""`jaxaction predict` and `eval.py` on a tiny run: equal scores, and one line for a mistake."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import av
import jax
import numpy as np
import pytest

from jaxaction.commands import cli, eval
from jaxaction.commands.predict import Predictor
from jaxaction.config import build
from jaxaction.config.defaults import motions
from jaxaction.errors import InputError
from jaxaction.storage import checkpoint
from tests.paths import ROOT

LABELS = ("red", "green", "blue")


def write_video(path: Path, seed: int, num_frames: int = 20) -> None:
    """Writes noise of 48x40 pixels, so that no two clips or crops look the same."""
    noise = np.random.default_rng(seed).integers(0, 256, (num_frames, 40, 48, 3), dtype=np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 40, "yuv420p"
        for picture in noise:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        file.mux(stream.encode())


def random_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Returns kernels that keep the variance, or a positive vector, as a running variance needs."""
    if len(shape) == 1:
        return rng.uniform(0.1, 0.5, shape).astype(np.float32)
    return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))).astype(np.float32)


def tiny_config(folder: Path):
    model = {"name": "slowonly", "depth": 18, "stage_blocks": (1, 1, 1, 1), "width": 4}
    config = motions(model)
    config.model.num_classes = 3
    config.data.update(
        source="annotations", test_file=str(folder / "test.txt"), clip_len=4, short_side=32
    )
    config.data.update(size=(32, 32), max_bad_share=0.0)
    config.test.update(num_clips=2, crops="three", batch_size=2)
    return config


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with three videos, an annotation file, and the run directory `run`."""
    folder = tmp_path_factory.mktemp("tiny")
    for i in range(3):
        write_video(folder / f"{i}.mp4", seed=i)
    (folder / "test.txt").write_text("0.mp4 0\n1.mp4 1\n2.mp4 2\n")
    (folder / "labels.txt").write_text("\n".join(LABELS))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is no video\n")
    config = tiny_config(folder)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda x: random_weights(rng, x.shape), build.abstract_variables(config)
    )
    checkpoint.save_run(str(folder / "run"), config, variables, LABELS, step=5)
    return folder


@pytest.fixture(scope="module")
def predictor(folder) -> Predictor:
    return Predictor(str(folder / "run"))


@pytest.fixture
def run_eval(folder, monkeypatch, capsys):
    """A function that runs `eval.py`'s main on the tiny run and returns its output."""
    monkeypatch.syspath_prepend(ROOT)

    def run(*argv: str) -> str:
        eval.main(["--workdir", str(folder / "run"), *argv])
        return capsys.readouterr().out

    return run


def test_a_video_has_the_scores_that_eval_wrote(folder, predictor, run_eval):
    out = run_eval()
    assert out.splitlines()[-1].endswith("% (3 videos)")
    with np.load(folder / "run" / "eval" / "test.npz") as file:
        assert np.ptp(file["scores"], axis=0).max() > 1e-3  # the videos differ
        for i, name in enumerate(file["ids"]):
            found = predictor(str(folder / name))
            np.testing.assert_allclose(found.scores, file["scores"][i], atol=1e-5)
            np.testing.assert_allclose(found.probs, file["probs"][i], atol=1e-5)
        assert file["label_names"].tolist() == list(LABELS)


def test_eval_writes_the_conditions_of_its_figures(folder, run_eval):
    run_eval()
    record = json.loads((folder / "run" / "eval" / "test.json").read_text())
    assert record["about"]["step"] == 5
    assert record["about"]["dataset"]["test_file"] == str(folder / "test.txt")
    assert record["protocol"]["crops"] == "three"


def test_eval_writes_to_another_folder_if_asked(folder, run_eval, tmp_path):
    run_eval()
    before = {path: path.stat().st_mtime_ns for path in (folder / "run" / "eval").iterdir()}
    out = run_eval("--out", str(tmp_path / "results"))
    assert out.splitlines()[-1].startswith("test top-1 ")
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"test.json", "test.npz"}
    after = {path: path.stat().st_mtime_ns for path in (folder / "run" / "eval").iterdir()}
    assert after == before


def test_eval_finds_out_before_the_test_that_it_cannot_write(folder, run_eval, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/x can't be written .*; give eval.py --out DIR"):
        run_eval("--out", str(tmp_path / "file" / "x"))
    assert "top-1" not in capsys.readouterr().out


def test_eval_takes_another_protocol_and_keeps_the_first_result(folder, run_eval):
    run_eval()
    out = run_eval("--config.test.crops=center", "--config.test.average=score")
    assert "center" in out or "1 crop" in out
    names = {path.name for path in (folder / "run" / "eval").iterdir()}
    assert {"test.json", "test.npz", "test.1.json", "test.1.npz"} <= names


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--config.test.crop=center", "did you mean --config.test.crops?"),
        ("--config.test.crops=four", "four"),
        ("--config.model.width=8", "does not fit config.model"),
        ("--config.model.num_classes=4", "params/cls_head/fc_cls/bias: (3,) there, (4,)"),
        ("--config.data.test_file=nowhere.txt", "nowhere.txt"),
        ("--config.data.test_file=", "test_file"),
    ],
)
def test_eval_names_the_value_that_it_cannot_use(run_eval, flag, words):
    with pytest.raises(InputError) as caught:
        run_eval(flag)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_prediction_has_named_probabilities(folder, predictor):
    found = predictor(str(folder / "0.mp4"))
    top = found.top(2)
    assert [label for label, _ in top] == [LABELS[i] for i in np.argsort(-found.probs)[:2]]
    assert found.probs.sum() == pytest.approx(1, abs=1e-6)  # float32
    assert found.scores.shape == (3,)


def test_a_files_bytes_give_the_same_as_its_path(folder, predictor):
    path = folder / "1.mp4"
    np.testing.assert_array_equal(predictor(path.read_bytes()).probs, predictor(str(path)).probs)


def predict(folder: Path, *argv: str) -> int:
    return cli.main(["predict", *argv, "--workdir", str(folder / "run")])


def test_the_command_prints_labels_of_every_video(folder, capsys):
    videos = [str(folder / "0.mp4"), str(folder / "1.mp4")]
    assert predict(folder, *videos, "--top", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[3]] == videos
    prob, label = lines[1].split()
    assert label in LABELS and 0 <= float(prob) <= 1


def test_json_is_one_object_a_line(folder, capsys):
    assert predict(folder, str(folder / "0.mp4"), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["label"] in LABELS for row in found["top"]] == [True] * 3
    assert "prob" in found["protocol"]


def test_a_bad_video_is_named_and_the_others_predicted(folder, capsys):
    code = predict(folder, str(folder / "text.mp4"), str(folder / "0.mp4"))
    printed = capsys.readouterr()
    assert code == 2
    assert "text.mp4" in printed.err and printed.err.count("\n") == 1
    assert printed.out.startswith(str(folder / "0.mp4"))


@pytest.mark.parametrize("name", ["missing.mp4", "empty.mp4", "text.mp4"])
def test_every_kind_of_bad_video_is_one_line(folder, capsys, name):
    assert predict(folder, str(folder / name)) == 2
    printed = capsys.readouterr()
    assert name in printed.err and printed.err.count("\n") == 1 and not printed.out


def test_features_are_one_row_a_video(folder, predictor, tmp_path):
    videos = [str(folder / f"{i}.mp4") for i in range(3)]
    assert predict(folder, *videos, "--features", str(tmp_path / "f.npy")) == 0
    table = np.load(tmp_path / "f.npy")
    assert table.dtype == np.float32 and table.shape == (3, 32)
    np.testing.assert_allclose(table[1], predictor.features(videos[1]), atol=1e-6)


def test_the_classifier_on_the_features_gives_the_mean_logits(folder, predictor):
    video = str(folder / "2.mp4")
    head = predictor._scorer.variables["params"]["cls_head"]["fc_cls"]
    logits = predictor.features(video) @ head["kernel"] + head["bias"]
    predictor = Predictor(str(folder / "run"))
    predictor._scorer = dataclasses.replace(predictor._scorer, average="score")
    np.testing.assert_allclose(predictor(video).scores, logits, atol=1e-5)  # float32


def test_features_are_not_written_when_a_video_is_bad(folder, tmp_path):
    videos = [str(folder / "0.mp4"), str(folder / "empty.mp4")]
    assert predict(folder, *videos, "--features", str(tmp_path / "f.npy")) == 2
    assert not list(tmp_path.iterdir())


def test_features_never_replace_a_file(tmp_path):
    (tmp_path / "f.npy").write_text("old")
    argv = ["predict", "x.mp4", "--workdir", "nowhere", "--features", str(tmp_path / "f.npy")]
    with pytest.raises(InputError, match="f.npy: the file exists; give another name, or move it"):
        cli.main(argv)
    assert (tmp_path / "f.npy").read_text() == "old"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["predict", "x.mp4"], "--workdir"),
        (["predict", "--workdir", "w"], "VIDEO"),
        (["predikt", "x.mp4"], "predikt"),
        ([], "COMMAND"),
        (["predict", "x.mp4", "--workdir", "nowhere"], "nowhere"),
        (["predict", "x.mp4", "--workdir", "w", "--top", "0"], "--top 0"),
        (["predict", "x.mp4", "--workdir", "w", "--features", "no/f.npy"], "no/f.npy"),
        (["predict", "x.mp4", "--workdir", "w", "--features", "/"], "--features /: a folder"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(argv, words):
    with pytest.raises(InputError) as caught:
        cli.main(argv)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_command_ends_with_one_line_and_exit_code_2(tmp_path):
    argv = [sys.executable, "-m", "jaxaction", "predict", "x.mp4", "--workdir", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("jaxaction: ") and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_eval_ends_with_one_line_and_exit_code_2(tmp_path):
    argv = [sys.executable, "eval.py", "--workdir", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("eval.py: ") and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
