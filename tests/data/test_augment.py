"""Colour jitter, RandAugment and random erasing: formulas for one draw, counts for many."""

import colorsys

import cv2
import numpy as np
import pytest

from jaxaction.data import augment
from jaxaction.data.augment import MEAN_COLOR, RAND_AUGMENT

GREY = np.array([0.299, 0.587, 0.114])
EITHER_WAY = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")


def generator(seed=0):
    return np.random.default_rng(seed)


def clip(count=3, height=24, width=32):
    """Smooth frames that all differ, with values from 10 to 240."""
    frames = generator(1).uniform(10, 240, (count, 4, 5, 3)).astype(np.float32)
    frames = [
        cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in frames
    ]
    return np.stack(frames).astype(np.uint8)


def rounded(values):
    return np.clip(np.rint(values), 0, 255)


def largest_difference(result, expected):
    return np.abs(result.astype(float) - expected).max()


def only(**strength):
    return {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0} | strength


def mean_grey(frames):
    return (frames @ GREY).mean((1, 2), keepdims=True)[..., None]


def turned_hues(frames, amount):
    def turned(pixel):
        h, s, v = colorsys.rgb_to_hsv(*pixel / 255)
        return colorsys.hsv_to_rgb((h + amount) % 1, s, v)

    return 255 * np.apply_along_axis(turned, -1, frames.astype(float))


@pytest.mark.parametrize("seed", range(4))
def test_brightness_multiplies_every_value(seed):
    result = augment.color_jitter(clip(), generator(seed), **only(brightness=0.8))
    factor = result.astype(float).sum() / clip().sum()
    best = min(
        (largest_difference(result, rounded(clip() * f)), f)
        for f in np.linspace(0.2, 1.8, 801)  # 0.002 apart, at most 0.24 of a level
    )
    assert best[0] <= 1 and 0.2 <= factor <= 1.8


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.7])
def test_colour_operations_equal_their_formulas(factor):
    frames = clip()
    grey = (frames @ GREY)[..., None]
    expected = {
        "brightness": factor * frames,
        "contrast": factor * frames + (1 - factor) * mean_grey(frames),
        "color": factor * frames + (1 - factor) * grey,
    }
    for name, values in expected.items():
        result = RAND_AUGMENT[name](frames, (factor - 1) / 0.9)
        # One rounding of the value and, in contrast, one of the mean grey.
        assert largest_difference(result, rounded(values)) <= 1, name


def test_hue_turns_by_one_angle_within_the_range_and_wraps():
    angles = []
    for seed in range(12):
        frames = clip(2, 8, 10)
        frames[0, 0, 0] = (255, 0, 0)
        result = augment.color_jitter(frames, generator(seed), **only(hue=0.4))
        angle = colorsys.rgb_to_hsv(*result[0, 0, 0] / 255)[0]  # the vivid pixel's is exact
        # Hues of 8 bits are 2 degrees apart, where a degree is up to 4 levels.
        assert largest_difference(result, turned_hues(frames, angle)) < 9
        angles.append(angle if angle < 0.5 else angle - 1)
    assert -0.4 <= min(angles) < -0.1 and 0.1 < max(angles) <= 0.4


def test_a_small_hue_range_stays_near_and_both_ways():
    reddish = np.full((1, 4, 4, 3), (200, 40, 40), np.uint8)
    greener, bluer = 0, 0
    for seed in range(60):
        pixel = augment.color_jitter(reddish, generator(seed), **only(hue=0.05))[0, 0, 0].astype(
            int
        )
        h, _, v = colorsys.rgb_to_hsv(*pixel / 255)
        assert min(h, 1 - h) < 0.05 + 1 / 180 and v == pytest.approx(200 / 255)
        greener += pixel[1] > 40
        bluer += pixel[2] > 40
    assert min(greener, bluer) > 15 and greener + bluer <= 60


def test_factors_fill_their_range_evenly():
    grey = np.full((1, 2, 2, 3), 100, np.uint8)
    rng = generator()
    factors = [augment.color_jitter(grey, rng, **only(brightness=0.5)).mean() for _ in range(2000)]
    counts, _ = np.histogram(factors, 5, (50, 150))
    # Five standard deviations of a binomial count around 400.
    assert np.abs(counts - 400).max() < 90 and sum(counts) == 2000


def test_a_strength_above_one_never_gives_a_negative_factor():
    grey = np.full((1, 2, 2, 3), 10, np.uint8)
    rng = generator()
    values = [augment.color_jitter(grey, rng, **only(brightness=3)).mean() for _ in range(500)]
    assert min(values) < 1 and 38 < max(values) <= 40


def test_order_of_colour_changes_differs_between_clips(monkeypatch):
    order = []
    names = ("_brightness", "_contrast", "_saturation", "_hue")
    for name in names:
        monkeypatch.setattr(
            augment, name, lambda frames, amount, name=name: order.append(name) or frames
        )
    rng = generator()
    seen = {}
    for _ in range(1200):
        order.clear()
        augment.color_jitter(clip(1, 4, 4), rng)
        assert sorted(order) == sorted(names)
        seen[tuple(order)] = seen.get(tuple(order), 0) + 1
    assert len(seen) == 24 and min(seen.values()) > 20 and max(seen.values()) < 90  # 50 each


def test_strength_zero_leaves_the_clip_alone():
    frames = clip()
    assert (augment.color_jitter(frames, generator(), **only()) == frames).all()
    assert (augment.random_erasing(frames, generator(), probability=0) == frames).all()
    for name, operation in RAND_AUGMENT.items():
        if name not in ("autocontrast", "equalize"):
            assert (operation(frames, 0.0) == frames).all(), name


@pytest.mark.parametrize("strengths", [only(brightness=-0.1), only(hue=0.6)])
def test_colour_strengths_out_of_range_are_refused(strengths):
    with pytest.raises(ValueError, match="strengths must be 0 or more, and hue at most 0.5"):
        augment.color_jitter(clip(), generator(), **strengths)


@pytest.mark.parametrize("magnitude", [-1, 10.5])
def test_magnitude_out_of_range_is_refused(magnitude):
    with pytest.raises(ValueError, match=f"magnitude {magnitude} is not from 0 to 10"):
        augment.rand_augment(clip(), generator(), magnitude=magnitude)


@pytest.mark.parametrize("change", [augment.color_jitter, augment.rand_augment])
@pytest.mark.usefixtures("values_of_wrong_types")
def test_flow_is_refused(change):
    with pytest.raises(ValueError, match=r"not uint8 \[3, 24, 32, 2\]; leave .* out for flow"):
        change(clip()[..., :2], generator())


def test_autocontrast_stretches_every_channel_and_leaves_flat_ones():
    frames = clip()
    frames[..., 2] = 77
    result = RAND_AUGMENT["autocontrast"](frames, 0.9)
    low, high = (
        getattr(frames, side)((1, 2), keepdims=True).astype(float) for side in ("min", "max")
    )
    expected = rounded((frames[..., :2] - low[..., :2]) * (255 / (high - low)[..., :2]))
    assert largest_difference(result[..., :2], expected) <= 1
    assert result[..., :2].min() == 0 and result[..., :2].max() == 255
    assert (result[..., 2] == 77).all()


def test_equalize_makes_values_equally_frequent():
    frames = clip(2, 60, 80)
    result = RAND_AUGMENT["equalize"](frames, 0.9)
    for channel in result.transpose(0, 3, 1, 2).reshape(6, -1):
        shares = np.histogram(channel, 4, (0, 256))[0] / channel.size
        assert np.abs(shares - 0.25).max() < 0.06  # equal values stay together
    order = frames[0, ..., 0].ravel().argsort()
    assert (np.diff(result[0, ..., 0].ravel()[order].astype(int)) >= 0).all()  # none swapped


@pytest.mark.parametrize(("magnitude", "threshold"), [(5, 128), (10, 0)])
def test_solarize_inverts_bright_values(magnitude, threshold):
    frames = clip()
    result = RAND_AUGMENT["solarize"](frames, magnitude / 10)
    assert (result == np.where(frames >= threshold, 255 - frames, frames)).all()


@pytest.mark.parametrize(("magnitude", "bits"), [(0, 8), (5, 6), (10, 4)])
def test_posterize_keeps_the_upper_bits(magnitude, bits):
    step = 2 ** (8 - bits)
    assert (RAND_AUGMENT["posterize"](clip(), magnitude / 10) == clip() // step * step).all()


@pytest.mark.parametrize("amount", [-1, 0.6, 1])
def test_sharpness_blends_with_the_smoothed_frame(amount):
    frames = clip().astype(float)
    box = sum(np.roll(frames, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1))
    smooth = (box + 4 * frames) / 13
    expected = rounded(frames + 0.9 * amount * (frames - smooth))
    result = RAND_AUGMENT["sharpness"](clip(), amount)
    inside = np.s_[:, 1:-1, 1:-1]
    assert largest_difference(result[inside], expected[inside]) <= 1  # the box is rounded, too


@pytest.mark.parametrize(("name", "axis"), [("translate_x", 2), ("translate_y", 1)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_translation_moves_whole_pixels_and_fills_with_the_mean_colour(name, axis, sign):
    frames = clip()
    result = RAND_AUGMENT[name](frames, sign * 0.5)
    shift = round(0.45 * 0.5 * frames.shape[axis])
    expected = np.roll(frames, -sign * shift, axis)
    gone = [slice(None)] * 4
    gone[axis] = slice(-shift, None) if sign > 0 else slice(0, shift)
    expected[tuple(gone)] = MEAN_COLOR
    assert (result == expected).all()


@pytest.mark.parametrize(("name", "axis"), [("shear_x", 2), ("shear_y", 1)])
def test_shear_moves_lines_in_proportion_to_their_distance_from_the_middle(name, axis):
    frames = np.zeros((1, 41, 41, 3), np.uint8)
    line = np.s_[:, :, 20] if axis == 2 else np.s_[:, 20, :]
    frames[line] = 255
    result = RAND_AUGMENT[name](frames, 1.0)[0, ..., 0].astype(float)
    result = result if axis == 2 else result.T
    near = np.arange(8, 33)  # without what came in from outside
    centre = (result[5:36, near] * near).sum(1) / result[5:36, near].sum(1)
    slope = np.polyfit(np.arange(5, 36), centre, 1)[0]
    assert abs(slope) == pytest.approx(0.3, abs=0.005)
    assert centre[15] == 20


def test_rotation_turns_about_the_middle_by_thirty_degrees_at_most():
    frames = np.zeros((1, 41, 41, 3), np.uint8)
    cv2.circle(frames[0], (34, 20), 2, (255, 255, 255), -1)
    place = RAND_AUGMENT["rotate"](frames, 1.0)[0, ..., 0].copy()
    place[place < 200] = 0  # the fill
    y, x = np.argwhere(place).mean(0) - 20
    assert np.hypot(x, y) == pytest.approx(14, abs=0.3)
    assert abs(np.rad2deg(np.arctan2(y, x))) == pytest.approx(30, abs=1)


@pytest.mark.parametrize("name", EITHER_WAY)
def test_geometric_operations_go_both_ways(name):
    frames = clip(1, 25, 33)
    there, mirrored = RAND_AUGMENT[name](frames, 0.7), frames[:, :, ::-1]
    if name == "translate_y":
        mirrored = frames[:, ::-1]
    back = RAND_AUGMENT[name](np.ascontiguousarray(mirrored), -0.7)
    back = back[:, ::-1] if name == "translate_y" else back[:, :, ::-1]
    # Places are rounded to 1/32 of a pixel, away from zero on neither side.
    assert largest_difference(there, back.astype(float)) <= 12
    assert np.abs(there - back.astype(float)).mean() < 1


@pytest.mark.parametrize("name", RAND_AUGMENT)
@pytest.mark.parametrize("amount", [-0.9, 0.9])
def test_operations_do_the_same_to_every_frame(name, amount):
    frames = np.repeat(clip(1), 3, axis=0)
    result = RAND_AUGMENT[name](frames, amount)
    assert (result == result[:1]).all()
    assert result.shape == frames.shape and result.dtype == np.uint8


def test_operations_are_drawn_evenly_and_in_both_directions(monkeypatch):
    drawn = []
    for name in RAND_AUGMENT:
        monkeypatch.setitem(
            RAND_AUGMENT, name, lambda frames, amount, n=name: drawn.append((n, amount)) or frames
        )
    rng = generator()
    for _ in range(1400):
        augment.rand_augment(clip(1, 4, 4), rng, num_ops=2, magnitude=7)
    assert len(drawn) == 2800 and {abs(amount) for _, amount in drawn} == {0.7}
    names = [name for name, _ in drawn]
    # 200 of each, 100 of each with either sign: within five standard deviations.
    assert all(130 < names.count(name) < 270 for name in RAND_AUGMENT)
    assert all(50 < drawn.count((name, 0.7)) < 150 for name in RAND_AUGMENT)


def test_erasing_puts_one_box_into_all_frames():
    frames = clip(4, 40, 60)
    erased = augment.random_erasing(frames, generator(), probability=1)
    changed = (erased != frames).any((0, 3))
    rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
    box = np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert (erased[box] == MEAN_COLOR).all()
    expected = frames.copy()
    expected[box] = MEAN_COLOR
    assert (erased == expected).all()


def test_erased_boxes_keep_to_their_probability_area_and_aspect():
    frames = np.zeros((1, 60, 60, 3), np.uint8)
    rng = generator()
    boxes = [augment.random_erasing(frames, rng, probability=0.4)[0, ..., 0] for _ in range(1500)]
    boxes = [box for box in boxes if box.any()]
    assert 0.34 < len(boxes) / 1500 < 0.46
    sizes = np.array([(box.any(1).sum(), box.any(0).sum()) for box in boxes])
    areas, aspects = sizes.prod(1) / 3600, sizes[:, 1] / sizes[:, 0]
    # Sides are rounded to whole pixels, the shortest of which are about 5.
    assert areas.min() > 0.015 and areas.max() < 0.35
    assert areas.mean() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.02)
    assert aspects.min() > 0.25 and aspects.max() < 4
    assert (aspects > 1).mean() == pytest.approx((aspects < 1).mean(), abs=0.12)
    # A box of every size begins anywhere that it fits.
    spare = 60 - sizes
    starts = np.array([np.argwhere(box)[0] for box in boxes])[(spare > 0).all(1)]
    shares = starts / spare[(spare > 0).all(1)]
    assert shares.mean(0) == pytest.approx([0.5, 0.5], abs=0.06)
    assert shares.min() == 0 and shares.max() == 1


def test_erased_flow_has_no_motion():
    flow = np.zeros((2, 20, 20, 2), np.uint8)
    erased = augment.random_erasing(flow, generator(), probability=1)
    assert set(np.unique(erased)) == {0, 128}


@pytest.mark.parametrize(
    "change", [augment.color_jitter, augment.rand_augment, augment.random_erasing]
)
def test_clips_are_not_changed_in_place_and_draws_are_the_generators(change):
    mirrored = clip()[:, :, ::-1]
    before = mirrored.copy()
    results = [change(mirrored, generator(seed)) for seed in (0, 0, 1, 2, 3)]
    assert (mirrored == before).all()
    assert (results[0] == results[1]).all()
    assert any((results[0] != result).any() for result in results[2:])
    for result in results:
        assert result.shape == mirrored.shape and result.dtype == np.uint8
