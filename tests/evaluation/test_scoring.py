"""Scores of videos: independent of how views and videos are put together."""

import dataclasses
import os
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxaction
from jaxaction import data
from jaxaction.evaluation import scoring
from jaxaction.runtime import device_memory
from tests.paths import ROOT

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
    result = scorer(clips)
    np.testing.assert_allclose(result.scores[1], expected, atol=1e-6)  # float32
    np.testing.assert_array_equal(result.scores, result.probs)


def test_mean_logits_come_with_their_softmax(scorer, clips):
    result = dataclasses.replace(scorer, average="score")(clips)
    np.testing.assert_allclose(result.probs.sum(1), 1, rtol=1e-6)  # float32
    np.testing.assert_allclose(jax.nn.softmax(result.scores), result.probs, rtol=1e-6)


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


def wide() -> scoring.Scorer:
    """A scorer of a small SlowOnly, on passes of up to 16 clips."""
    sizes = {"stage_blocks": (1,), "width": 8, "num_classes": 4, "depth": 18}
    model = jaxaction.build({"name": "slowonly"} | sizes)
    variables = jaxaction.init(model, (1, 4, 32, 32, 3), jax.random.key(0))
    protocol = data.Protocol("clips", 4, 1, 4, 32, "center", (32, 32), "prob")
    return scoring.make_scorer(model, variables, protocol, MEAN, STD, batch_size=4)


def test_a_pass_has_as_many_clips_as_the_compiled_program_has_memory_for():
    scorer = wide()
    clips = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 32, 32, 3), dtype=np.uint8)
    program, size = scorer.program(scoring.clip_logits, clips.shape[2:])
    assert size == 16
    memory = device_memory.needed(program) // 3
    small = dataclasses.replace(scorer, memory=memory)
    program, size = small.program(scoring.clip_logits, clips.shape[2:])
    assert 1 < size <= 5
    assert device_memory.needed(program) <= memory
    # Passes of other sizes round differently: 1e-6 of probabilities in float32.
    np.testing.assert_allclose(small(clips).probs, scorer(clips).probs, atol=1e-6)


def test_one_clip_is_taken_even_where_memory_may_not_do():
    scorer = dataclasses.replace(wide(), memory=1)
    assert scorer.program(scoring.clip_logits, (4, 32, 32, 3))[1] == 1


@pytest.mark.parametrize("num_views", [30, 250, 6])  # 10x3, 25x10 by frames, twice x3
def test_scores_do_not_depend_on_how_many_videos_are_scored_at_once(scorer, num_views):
    shape = (5, num_views, PROTOCOL.clip_len, *PROTOCOL.size, 3)
    clips = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    together = scorer(clips)
    for size in (1, 2, 3):
        parts = [scorer(clips[i : i + size]).scores for i in range(0, 5, size)]
        np.testing.assert_array_equal(np.concatenate(parts), together.scores)


def test_tsn_at_25_segments_of_ten_crops_is_one_pass_over_all_250_frames():
    sizes = {"stage_blocks": (1,), "width": 4, "num_classes": 5, "depth": 18}
    model = jaxaction.build({"name": "tsn"} | sizes)
    variables = jaxaction.init(model, (1, 25, 16, 16, 3), jax.random.key(0))
    protocol = data.Protocol("segments", 25, 1, 1, 20, "ten", (16, 16), "score")
    views = np.random.default_rng(0).integers(0, 256, (2, *protocol.shape), dtype=np.uint8)
    result = scoring.make_scorer(model, variables, protocol, MEAN, STD, batch_size=1)(views)
    # As in MMAction2: features of all segments of all crops are averaged, then classified.
    frames = (views.reshape(2, 250, 16, 16, 3) - np.array(MEAN)) / np.array(STD)
    features = model.apply(variables, frames.astype(np.float32), False, method="features")
    classifier = variables["params"]["cls_head"]["fc_cls"]
    logits = features.mean((1, 2, 3)) @ classifier["kernel"] + classifier["bias"]
    # Sums in another order, in float32: 1e-6 of the largest.
    close = 1e-6 * np.abs(logits).max()
    np.testing.assert_allclose(result.scores, logits, rtol=0, atol=close)
    np.testing.assert_allclose(result.probs, jax.nn.softmax(logits), rtol=0, atol=1e-6)


def test_the_budget_is_a_share_of_all_memory_not_of_what_is_free():
    assert device_memory.budget() == device_memory.budget()
    total = device_memory.host_bytes()
    assert device_memory.budget() == int(total / 4 / len(jax.local_devices()))
    assert total <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") + 1024


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
import sys; sys.path.insert(0, {str(ROOT / "tests" / "evaluation")!r})
import numpy as np, test_scoring
from jaxaction import data
from jaxaction.evaluation import scoring
variables = {{"params": {{"fc": dict(np.load("fc.npz"))}}}}
scorer = scoring.make_scorer(
    test_scoring.Tiny(), variables, test_scoring.PROTOCOL, test_scoring.MEAN, test_scoring.STD, 3
)
assert scorer.mesh.size == 4 and scorer.clips_per_pass == 20
np.save("scores.npy", scorer(np.load("clips.npy")).scores)
"""
    flags = "--xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", script]
    subprocess.run(argv, cwd=tmp_path, env=environment, check=True)
    result = np.load(tmp_path / "scores.npy")
    np.testing.assert_allclose(result, scorer(clips).scores, atol=1e-6)  # float32
