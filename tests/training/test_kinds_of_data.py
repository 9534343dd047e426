"""Runs on other data than one label and colours: several labels a video, and optical flow."""

import cv2
import numpy as np
import pytest

from jaxaction.commands.predict import Predictor
from jaxaction.config import build
from jaxaction.errors import InputError
from jaxaction.evaluation import evaluate, results
from jaxaction.evaluation.metrics import mean_average_precision
from jaxaction.evaluation.settings import eval_settings
from jaxaction.storage.checkpoint import load_run
from jaxaction.training import loop
from tests import tiny_run

SILENT = lambda text: None  # noqa: E731


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A short run on videos of one colour each, which have the classes "colour" and "any"."""
    folder = tmp_path_factory.mktemp("several")
    tiny_run.write_clips(folder)
    for name in ("train", "test"):
        lines = (folder / f"{name}.txt").read_text().splitlines()
        (folder / f"{name}.txt").write_text("\n".join(f"{line} 3" for line in lines))
    config = tiny_run.config(folder, epochs=1.0)
    config.model.num_classes = 4
    config.data.multi_label = True
    evaluation = loop.train(config, str(folder / "run"), SILENT)
    return folder, config, evaluation


def test_with_several_labels_scores_are_probabilities_of_their_own(several):
    _, _, evaluation = several
    assert evaluation.labels.tolist()[:2] == [[1, 0, 0, 1], [0, 1, 0, 1]]
    assert ((evaluation.probs > 0) & (evaluation.probs < 1)).all()
    assert (abs(evaluation.probs.sum(axis=1) - 1) > 0.01).all()


def test_with_several_labels_the_result_is_mean_average_precision(several):
    folder, _, evaluation = several
    expected = mean_average_precision(evaluation.scores, evaluation.labels > 0)
    assert results.result_line("test", evaluation) == f"test mAP {100 * expected:.1f} % (6 videos)"
    with np.load(folder / "run" / "eval" / "test.npz") as file:
        assert file["labels"].shape == (6, 4)
        assert "confusion" not in file


def test_a_prediction_of_several_labels_is_what_the_test_found(several):
    folder, _, evaluation = several
    probs = Predictor(str(folder / "run"))(folder / "test0.mp4").probs
    np.testing.assert_allclose(probs, evaluation.probs[0], atol=1e-5)  # as Predictor promises


def test_a_run_of_several_labels_is_tested_again_from_its_directory(several):
    folder, _, evaluation = several
    run = load_run(str(folder / "run"))
    source = build.source(run.config, "test")
    settings = eval_settings(run.config)
    again = evaluate.run(build.model(run.config), run.variables, source, run.protocol, settings)
    np.testing.assert_array_equal(again.probs, evaluation.probs)


def test_lists_of_one_label_are_refused_where_several_are_configured(several):
    folder, config, _ = several
    config = config.copy_and_resolve_references()
    config.data.multi_label = False
    with pytest.raises(InputError, match="ends in several numbers; set data.multi_label=True"):
        build.source(config, "train")  # "train0.mp4 0" is taken for a path


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """A short run on folders of flow: to the left, to the right, and still."""
    folder = tmp_path_factory.mktemp("flow")
    rng = np.random.default_rng(0)
    for name, count in (("train", 12), ("test", 6)):
        lines = []
        for i in range(count):
            (folder / f"{name}{i}").mkdir()
            lines.append(f"{name}{i} 7 {i % 3}\n")
            for frame in range(1, 8):
                x = rng.integers(100, 156, (32, 32)) + (60, -60, 0)[i % 3]
                cv2.imwrite(str(folder / f"{name}{i}" / f"x_{frame:05}.jpg"), x)
                cv2.imwrite(str(folder / f"{name}{i}" / f"y_{frame:05}.jpg"), 255 - x)
        (folder / f"{name}.txt").write_text("".join(lines))
    config = tiny_run.config(folder, epochs=1.0)
    config.data.update(modality="flow", stack=3, flip_labels=((0, 1),))
    config.data.update(mean=(128.0,) * 6, std=(128.0,) * 6)
    config.model.in_channels = 6
    return folder, config, loop.train(config, str(folder / "run"), SILENT)


def test_a_network_trains_on_stacked_flow(flow):
    folder, config, evaluation = flow
    assert evaluation.protocol.shape == (1, 2, 16, 16, 6)
    assert str(evaluation.protocol).endswith("flow, 3 frames stacked")
    assert load_run(str(folder / "run")).protocol == evaluation.protocol


def test_a_folder_of_flow_is_predicted_as_it_was_tested(flow):
    folder, _, evaluation = flow
    scores = Predictor(str(folder / "run"))(str(folder / "test0")).scores
    np.testing.assert_allclose(scores, evaluation.scores[0], atol=1e-5)  # as Predictor promises
