"""Tests of a test: every video once, unreadable ones named, and what ends it with a line."""

import os
import socket
import subprocess
import sys
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaction import data
from jaxaction.data import labels
from jaxaction.errors import InputError
from jaxaction.evaluation import evaluate
from jaxaction.evaluation.settings import EvalSettings
from tests.paths import ROOT

PROTOCOL = data.Protocol("clips", 2, 1, 3, 4, "center", (4, 4), "prob")
SETTINGS = EvalSettings((0.0,) * 3, (1.0,) * 3, batch_size=4, num_threads=1, max_bad_share=0.0)


class Brightest(nn.Module):
    """Logits that say which of three colours is the brightest; a clip must have 2 frames."""

    def __call__(self, clip, train):
        if clip.shape[1] != 2:
            raise ValueError(f"clip_len {clip.shape[1]} is not 2; set data.clip_len to 2")
        return clip.mean((1, 2, 3))


class Record(NamedTuple):
    id: str
    video: object
    label: int


class Colours(list):
    """Videos of one colour each: the label is its channel; None is a video that can't be read."""

    label_names = ("red", "green", "blue")
    mirror_changes_class = False
    multi_label = False

    def __init__(self, channels, labels=None):
        labels = [channel or 0 for channel in channels] if labels is None else labels
        super().__init__(
            Record(f"video{i}", channel, label)
            for i, (channel, label) in enumerate(zip(channels, labels, strict=True))
        )

    def id(self, index):
        return f"video{index}"


def loader(source, protocol, batch_size, num_threads, shard):
    """What `data.test_loader` promises, for `Colours`."""
    process, count = shard
    size = batch_size // count
    mine = list(range(-(-len(source) // batch_size) * batch_size))[process::count]
    for start in range(0, len(mine), size):
        batch = {
            "views": np.zeros((size, 3, 2, 4, 4, 3), np.uint8),
            "label": np.zeros(size, np.int32),
            "index": np.full(size, -1, np.int32),
            "mask": np.zeros(size, bool),
            "bad": np.full(size, -1, np.int32),
        }
        for row, index in enumerate(mine[start : start + size]):
            if index < len(source):
                fill(batch, row, index, source[index])
        yield batch


def fill(batch, row, index, record):
    batch["index"][row], batch["label"][row] = index, record.label
    batch["mask"][row] = record.video is not None
    if record.video is None:
        batch["bad"][row] = index
    else:
        batch["views"][row, ..., record.video] = 5


@pytest.fixture(autouse=True)
def fake_loader(monkeypatch):
    monkeypatch.setattr(data, "test_loader", loader)


def run(source, **settings) -> evaluate.Evaluation:
    return evaluate.run(Brightest(), {}, source, PROTOCOL, SETTINGS._replace(**settings))


def test_every_video_is_scored_once_over_uneven_batches():
    result = run(Colours([0, 1, 2, 0, 1, 2, 0, 1, 2, 0]))
    assert result.ids == tuple(f"video{i}" for i in range(10))
    assert result.scores.argmax(1).tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert (result.num_videos, result.top1, result.top5) == (10, 1, 1)
    assert result.mean_class_accuracy == 1


def test_accuracies_are_those_of_the_labels():
    result = run(Colours([0, 0, 0, 0, 2], labels=[0, 0, 0, 1, 2]))
    assert result.top1 == 0.8
    assert result.mean_class_accuracy == pytest.approx(2 / 3)


def test_probabilities_sum_to_1():
    np.testing.assert_allclose(run(Colours([0, 1])).probs.sum(1), 1, rtol=1e-6)  # float32


def test_an_unreadable_video_is_left_out_and_named():
    result = run(Colours([0, None, 2, 0, 1]), max_bad_share=0.01)
    assert result.unreadable == ("video1",)
    assert result.ids == ("video0", "video2", "video3", "video4")
    assert result.labels.tolist() == [0, 2, 0, 1]


def test_a_share_of_0_allows_no_unreadable_video():
    with pytest.raises(InputError, match=r"1 of 3 videos can't be read \(video2\)"):
        run(Colours([0, 1, None]))


def test_more_unreadable_videos_than_allowed_are_an_error():
    with pytest.raises(InputError, match="2 of 12 .*data.max_bad_share 0.1 allows"):
        run(Colours([None, 1, None, *[0] * 9]), max_bad_share=0.1)


@pytest.mark.parametrize(
    ("videos", "share", "allowed"), [(100, 0, 0), (10, 0.01, 1), (200, 0.01, 2)]
)
def test_a_share_above_0_allows_at_least_one(videos, share, allowed):
    assert evaluate.allowed_bad(videos, share) == allowed


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_outside_the_classes_names_the_video(label):
    with pytest.raises(InputError, match=f"video1: label {label} is outside the model's 3 classes"):
        run(Colours([0, 1], labels=[0, label]))


def test_a_clip_that_the_model_cannot_take_is_an_error_before_the_first_batch():
    protocol = data.Protocol("clips", 5, 1, 3, 4, "center", (4, 4), "prob")
    with pytest.raises(InputError, match="5 frames of 4x4: clip_len 5 is not 2"):
        evaluate.run(Brightest(), {}, Colours([0]), protocol, SETTINGS)


def test_an_empty_source_is_an_error():
    with pytest.raises(InputError, match="holds no video"):
        run(Colours([]))


def test_a_second_run_compiles_nothing(caplog):
    def compiled(num_videos: int) -> bool:
        caplog.clear()
        with jax.log_compiles():
            run(Colours([0] * num_videos), batch_size=5)  # a size that no other test compiles
        return any("clip_logits" in line and "ompil" in line for line in caplog.messages)

    assert [compiled(6), compiled(9)] == [True, False]


def test_variables_may_be_plain_arrays():
    model = nn.BatchNorm(use_running_average=True)
    variables = jax.tree.map(np.asarray, model.init(jax.random.key(0), jnp.zeros((1, 3))))
    result = evaluate.scoring.make_scorer(model, variables, PROTOCOL, (0.0,), (1.0,), 1)
    assert set(result.variables) == {"params", "batch_stats"}


@pytest.mark.parametrize(
    ("trained", "tested", "line"),
    [
        (("arm wrestling", "b"), ("ArmWrestling", "b"), ""),
        (("a", "b"), ("0", "1"), ""),
        (("a", "b", "c"), ("a", "c", "b"), "label 1 is 'b' in the run and 'c' in the data set"),
    ],
)
def test_labels_in_another_order_are_noticed(trained, tested, line):
    assert labels.differing_labels(trained, tested) == line


def test_two_processes_share_the_videos_and_both_have_all_rows(tmp_path):
    script = f"""
import sys; sys.path.insert(0, {str(ROOT / "tests" / "evaluation")!r})
import jax
jax.distributed.initialize("localhost:{free_port()}", 2, int(sys.argv[1]))
import test_evaluate as t
from jaxaction.runtime import sharding
t.data.test_loader = t.loader
replicated = sharding.replicated(sharding.device_mesh())
unused = jax.make_array_from_process_local_data(replicated, t.np.ones(3))
variables = {{"params": {{"unused": unused}}}}
assert not variables["params"]["unused"].is_fully_addressable
source, settings = t.Colours([0, 1, None, 2, 1, 0, 2]), t.SETTINGS._replace(max_bad_share=0.2)
result = t.evaluate.run(t.Brightest(), variables, source, t.PROTOCOL, settings)
print(result.ids, result.unreadable, result.scores.argmax(1).tolist(), result.top1)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(process)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for process in range(2)
    ]
    ids = tuple(f"video{i}" for i in (0, 1, 3, 4, 5, 6))
    expected = f"{ids} ('video2',) [0, 1, 2, 1, 0, 2] 1.0"
    assert [process.communicate()[0].splitlines()[-1:] for process in both] == [[expected]] * 2


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]
