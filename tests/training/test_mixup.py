"""Mixup and cutmix: what one draw does to a batch, and how draws are distributed."""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaction.training import mixup

KINDS = (mixup.mixup, mixup.cutmix)
N, T, H, W = 8, 3, 10, 12
# Clip i has the value i in its one channel, and class i.
CLIPS = jnp.broadcast_to(
    jnp.arange(N, dtype=jnp.float32)[:, None, None, None, None], (N, T, H, W, 1)
)
TARGETS = jnp.eye(N)


def key(seed=0):
    return jax.random.key(seed)


def mixed(kind, seed, alpha=1.0):
    # Not compiled as one, since JAX then keeps its compiled Beta from one test to the next.
    return tuple(map(np.asarray, kind(key(seed), CLIPS, TARGETS, alpha)))


@functools.cache
def both_kinds():
    return jax.jit(lambda key: mixup.mix(key, CLIPS, TARGETS, 0.8, 1.0))


def own_ratio(targets):
    """The ratio of the first sample that met another one, and every sample's partner."""
    others = targets - np.diag(np.diag(targets))
    met = others.max(1) > 0
    partners = np.where(met, others.argmax(1), np.arange(N))
    return (np.diag(targets)[met][0] if met.any() else 1.0), partners


@pytest.mark.parametrize("seed", range(5))
def test_mixup_blends_clips_and_targets_by_one_ratio_with_permuted_partners(seed):
    clips, targets = mixed(mixup.mixup, seed)
    ratio, partners = own_ratio(targets)
    assert sorted(partners) == list(range(N))
    expected = ratio * np.arange(N) + (1 - ratio) * partners
    np.testing.assert_allclose(
        clips, np.broadcast_to(expected[:, None, None, None, None], clips.shape), atol=1e-5
    )
    np.testing.assert_allclose(
        targets, ratio * np.eye(N) + (1 - ratio) * np.eye(N)[partners], atol=1e-6
    )


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_takes_one_box_of_all_frames_from_the_partner_and_mixes_targets_by_its_area(seed):
    clips, targets = mixed(mixup.cutmix, seed)
    ratio, partners = own_ratio(targets)
    replaced = clips != np.arange(N)[:, None, None, None, None]
    met = partners != np.arange(N)
    box = replaced[met].any((0, 1, 4))
    assert (replaced[met] == box[:, :, None]).all() and not replaced[~met].any()
    assert (clips[:, :, box] == partners[:, None, None, None]).all()
    assert (np.outer(box.any(1), box.any(0)) == box).all()  # a box, not just any set of pixels
    assert 1 - ratio == pytest.approx(box.mean(), abs=1e-6)


def test_a_cut_box_has_the_pictures_shape_and_any_place():
    draw = jax.jit(jax.vmap(lambda key, share: mixup._box(key, (40, 80), share), (0, None)))
    boxes = np.asarray(draw(jax.random.split(key(), 2000), 0.25))
    inner = boxes[~boxes[:, [0, -1]].any((1, 2)) & ~boxes[:, :, [0, -1]].any((1, 2))]
    sides = np.stack([inner.any(2).sum(1), inner.any(1).sum(1)])
    # Both ends are rounded: half a pixel each.
    assert np.abs(sides[0] - 20).max() <= 1 and np.abs(sides[1] - 40).max() <= 1
    assert inner.mean((1, 2)).mean() == pytest.approx(0.25, abs=0.005)
    covered = boxes.mean(0)
    # Part of the box may lie outside: the middle is covered a quarter of the time, a corner a
    # sixteenth.
    assert covered[20, 40] == pytest.approx(0.25, abs=0.05)
    assert covered[0, 0] == pytest.approx(0.0625, abs=0.03)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_ratio_is_drawn_from_a_beta_distribution(alpha):
    given = partners_share(mixup.mixup, alpha)
    variance = 1 / (4 * (2 * alpha + 1))
    # Of two clips every second meets itself. Within five standard deviations.
    assert given.mean() == pytest.approx(0.5 / 2, abs=0.025)
    assert (given**2).mean() == pytest.approx((0.5**2 + variance) / 2, abs=0.025)


def test_the_share_that_is_cut_is_drawn_from_a_beta_distribution():
    share = (np.arange(1000) + 0.5) / 1000  # evenly: Beta(1, 1)
    # Of a side s of 1 with its centre anywhere, s - s^2 / 4 lies inside on average.
    inside = (np.sqrt(share) - share / 4) ** 2
    cut = partners_share(mixup.cutmix, 1.0).mean()
    assert cut == pytest.approx(inside.mean() / 2, abs=0.02)


def partners_share(kind, alpha):
    """What the first of two clips gets from the other, in 6000 draws."""

    def share(key):
        return kind(key, jnp.zeros((2, 1, 32, 32, 1)), jnp.eye(2), alpha)[1][0, 1]

    return np.asarray(jax.jit(jax.vmap(share))(jax.random.split(key(), 6000)))


@pytest.mark.parametrize("kind", KINDS)
def test_targets_keep_their_sums(kind):
    several = jax.random.uniform(key(1), (N, 7))  # as for videos with many labels
    smooth = jnp.full((N, 5), 0.2)
    for seed in range(10):
        targets = kind(key(seed), CLIPS, several, 0.4)[1]
        np.testing.assert_allclose(targets.sum(), several.sum(), rtol=1e-6)
        targets = kind(key(seed), CLIPS, smooth, 0.4)[1]
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtypes_and_shapes_are_kept(kind, dtype):
    clips, targets = kind(key(), CLIPS.astype(dtype), TARGETS, 0.8)
    assert (clips.dtype, targets.dtype) == (dtype, jnp.float32)
    assert (clips.shape, targets.shape) == (CLIPS.shape, TARGETS.shape)


def test_bfloat16_clips_are_blended_in_float32():
    ones = jnp.ones((N, 1, 2, 2, 1), jnp.bfloat16)
    for seed in range(20):
        assert (mixup.mixup(key(seed), ones, TARGETS, 1.0)[0] == 1).all()


def test_results_are_the_same_under_jit():
    kinds = set()
    for seed in range(4):
        direct = mixup.mix(key(seed), CLIPS, TARGETS, 0.8, 1.0)
        for got, expected in zip(both_kinds()(key(seed)), direct, strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-6)  # fused multiply-adds
        kinds.add(is_mixup(direct[0]))
    assert kinds == {True, False}


@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_the_keys(kind):
    first, again, other = (kind(key(seed), CLIPS, TARGETS, 0.5) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_zero_changes_nothing(kind):
    clips, targets = kind(key(), CLIPS, TARGETS, 0.0)
    assert clips is CLIPS and targets is TARGETS
    clips, targets = mixup.mix(key(), CLIPS, TARGETS, 0.0, 0.0)
    assert clips is CLIPS and targets is TARGETS


@pytest.mark.parametrize(
    ("alphas", "kind"), [((0.5, 0.0), mixup.mixup), ((0.0, 0.5), mixup.cutmix)]
)
def test_mix_with_one_kind_on_is_that_kind(alphas, kind):
    for got, expected in zip(
        mixup.mix(key(), CLIPS, TARGETS, *alphas), kind(key(), CLIPS, TARGETS, 0.5), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


def test_mix_with_both_kinds_on_draws_one_of_them_with_even_odds():
    mixups = 0
    for seed in range(200):
        clips, targets = both_kinds()(key(seed))
        mixups += is_mixup(clips)
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    assert 65 < mixups < 135  # five standard deviations


def is_mixup(clips):
    return bool((np.asarray(clips) != np.rint(clips)).any())  # cutmix leaves whole numbers


SHARDED = """
import sys
import jax, numpy as np
from jaxaction.runtime import sharding
from jaxaction.training import mixup
saved, mesh = np.load(sys.argv[1]), sharding.device_mesh()
assert mesh.size == 4
batch = sharding.put({"clip": saved["clips"], "target": saved["targets"]}, mesh)
split = sharding.split(mesh)
step = lambda key, batch: mixup.mix(key, batch["clip"], batch["target"], 0.8, 1.0)
step = jax.jit(step, out_shardings=(split, split))
for seed in range(6):
    for name, got in zip(("clips", "targets"), step(jax.random.key(seed), batch)):
        np.testing.assert_allclose(got, saved[f"{name}{seed}"], atol=1e-6)
"""


def test_a_batch_over_four_devices_is_mixed_as_on_one(tmp_path):
    arrays = {"clips": CLIPS, "targets": TARGETS}
    for seed in range(6):
        arrays[f"clips{seed}"], arrays[f"targets{seed}"] = both_kinds()(key(seed))
    np.savez(tmp_path / "one.npz", **arrays)
    flags = "--xla_force_host_platform_device_count=4"
    env = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SHARDED, str(tmp_path / "one.npz")]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
