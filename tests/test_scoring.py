"""Scores of videos: independent of how views and videos are put together."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaction import data, scoring

PROTOCOL = data.Protocol("clips", 2, 1, 2, 5, "three", (5, 4), "prob")
MEAN, STD = (100.0, 120.0, 110.0), (50.0, 60.0, 70.0)


class Tiny(nn.Module):
    """Two pathways of plain numbers and a classifier, no batch norm."""

    classes: int = 4

    def features(self, clip, train):
        return clip[:, ::2], 2 * clip

    @nn.compact
    def __call__(self, clip, train):
        slow, fast = self.features(clip, train)
        pooled = jnp.concatenate([fast.mean((1, 2, 3)), slow.mean((1, 2, 3))], -1)
        return nn.Dense(self.classes, name="fc")(pooled)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 6, 2, 5, 4, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def scorer() -> scoring.Scorer:
    model = Tiny()
    variables = model.init(jax.random.key(0), jnp.zeros((1, 2, 5, 4, 3)), False)
    return scoring.make_scorer(model, variables, PROTOCOL, MEAN, STD, batch_size=3)


def test_scores_are_those_of_each_normalised_view_averaged(scorer, clips):
    view = (clips[1].astype(np.float32) - np.array(MEAN)) / np.array(STD)
    logits = scorer.model.apply(scorer.variables, view.astype(np.float32), False)
    expected = jax.nn.softmax(logits).mean(0)
    found = scorer(clips)
    np.testing.assert_allclose(found.scores[1], expected, atol=1e-6)  # float32
    np.testing.assert_array_equal(found.scores, found.probs)


def test_mean_logits_come_with_their_softmax(scorer, clips):
    found = dataclasses.replace(scorer, average="score")(clips)
    np.testing.assert_allclose(found.probs.sum(1), 1, rtol=1e-6)  # float32
    np.testing.assert_allclose(jax.nn.softmax(found.scores), found.probs, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 4, 18, 50])
def test_passes_of_any_size_give_the_same(scorer, clips, size):
    parts = dataclasses.replace(scorer, clips_per_pass=size)
    np.testing.assert_allclose(parts(clips).scores, scorer(clips).scores, atol=1e-6)  # float32
    np.testing.assert_allclose(parts.features(clips), scorer.features(clips), atol=1e-6)


def test_a_video_alone_has_the_scores_it_has_among_others(scorer, clips):
    np.testing.assert_allclose(scorer(clips[2:]).scores[0], scorer(clips).scores[2], atol=1e-7)


@pytest.mark.parametrize(
    ("views_shape", "batch_size", "num_devices", "expected"),
    [
        ((30, 32, 256, 256, 3), 8, 1, 8),  # memory
        ((30, 32, 256, 256, 3), 8, 2, 16),
        ((1, 16, 64, 64, 3), 8, 1, 8),  # the batch
        ((1, 16, 64, 64, 3), 6, 4, 8),
        ((2, 1024, 256, 256, 3), 1, 2, 2),  # one clip is more than memory should hold
    ],
)
def test_a_pass_is_bounded_by_memory_and_batch(views_shape, batch_size, num_devices, expected):
    assert scoring.clips_per_pass(views_shape, batch_size, num_devices) == expected


def test_features_have_the_fast_pathway_first(scorer, clips):
    view = (clips - np.array(MEAN)) / np.array(STD)
    fast, slow = 2 * view.mean((1, 2, 3, 4)), view[:, :, ::2].mean((1, 2, 3, 4))
    expected = np.concatenate([fast, slow], -1)
    np.testing.assert_allclose(scorer.features(clips), expected, atol=1e-5)  # float32 sums
    assert scorer.features(clips).dtype == np.float32


def test_several_devices_share_any_number_of_videos(scorer, clips, tmp_path):
    np.save(tmp_path / "clips.npy", clips)
    np.savez(tmp_path / "fc.npz", **scorer.variables["params"]["fc"])
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np, test_scoring
from jaxaction import data, scoring
variables = {{"params": {{"fc": dict(np.load("fc.npz"))}}}}
scorer = scoring.make_scorer(
    test_scoring.Tiny(), variables, test_scoring.PROTOCOL, test_scoring.MEAN, test_scoring.STD, 3
)
assert scorer.mesh.size == 4 and scorer.clips_per_pass == 20
np.save("scores.npy", scorer(np.load("clips.npy")).scores)
"""
    flags = "--xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(Path(__file__).parents[1])}
    argv = [sys.executable, "-c", script]
    subprocess.run(argv, cwd=tmp_path, env=environment, check=True)
    found = np.load(tmp_path / "scores.npy")
    np.testing.assert_allclose(found, scorer(clips).scores, atol=1e-6)  # float32
