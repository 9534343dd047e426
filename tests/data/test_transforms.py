"""Crops: MMAction2's figures for the test-time ones, rules for the random ones."""

import gzip
import json
import zlib

import numpy as np
import pytest

from jaxaction.data import transforms
from jaxaction.errors import InputError
from tests.paths import PARITY

PIPELINE = PARITY / "pipeline.json.gz"


def seeded(text):
    return np.random.Generator(np.random.PCG64(zlib.crc32(text.encode())))


# MMAction2 enlarged its pictures by OpenCV's INTER_CUBIC, which computes in float32 and not
# alike on all processors. These are its pixels that exact arithmetic rounds the other way.
ROUNDED_OTHERWISE = {
    (240, 320): [(120, 242, 2)],
    (340, 256): [(227, 195, 0), (312, 17, 0)],
    (256, 340): [(90, 324, 0), (128, 134, 1), (184, 80, 0)],
}


def cubic_matrix(old, new):
    places = (np.arange(new) + 0.5) * (old / new) - 0.5
    matrix, a = np.zeros((new, old)), -0.75
    for tap in range(-1, 3):
        nearest = np.floor(places) + tap
        d = np.abs(places - nearest)
        inner, outer = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
        column = np.clip(nearest, 0, old - 1).astype(int)
        np.add.at(matrix, (np.arange(new), column), np.where(d <= 1, inner, outer))
    return matrix


def enlarged_frames(height, width):
    small = (height // 8 + 1, width // 8 + 1, 3)
    picture = seeded(f"image{height}x{width}").integers(0, 256, small).astype(float)
    rows, columns = cubic_matrix(small[0], height), cubic_matrix(small[1], width)
    exact = np.einsum("hi,wj,ijc->hwc", rows, columns, picture, optimize=True)
    picture = np.floor(exact + 0.5)
    for place in ROUNDED_OTHERWISE[height, width]:
        picture[place] += 1 if picture[place] < exact[place] else -1
    picture = picture.clip(0, 255).astype(np.uint8)
    return np.stack([picture, picture[::-1]])


def blank(height, width):
    return np.zeros((2, height, width, 3), np.uint8)


def mmaction2_rows():
    with gzip.open(PIPELINE) as file:
        return json.load(file)["crops"]


@pytest.mark.parametrize("row", mmaction2_rows(), ids=lambda row: f"{row['height']}-{row['crop']}")
def test_crops_equal_mmaction2_s(row):
    frames = enlarged_frames(row["height"], row["width"])
    frames = transforms.resize_short_side(frames, row["short_side"])
    crops = transforms.CROPS[row["crop"]](frames, (row["size"], row["size"]))
    crops = np.concatenate(crops)
    assert list(crops.shape) == row["shape"]
    weights = seeded("weights").uniform(-1, 1, crops.shape[1:])
    # The same float64 sums of the same whole numbers: no tolerance but the order of adding.
    assert crops.mean((1, 2, 3)) == pytest.approx(row["mean"], rel=1e-12)
    assert [(crop * weights).sum() for crop in crops] == pytest.approx(row["checksum"], rel=1e-9)


def test_resizing_keeps_the_shape_and_rounds_to_the_nearest_pixel():
    assert transforms.resize_short_side(blank(240, 320), 256).shape == (2, 256, 341, 3)
    assert transforms.resize_short_side(blank(340, 256), 224).shape == (2, 298, 224, 3)


def test_three_crops_of_an_upright_frame_are_top_bottom_and_middle():
    frames = np.arange(20, dtype=np.uint8).reshape(1, 10, 2, 1)
    crops = transforms.three_crops(frames, (2, 2))
    assert [crop[0, 0, 0, 0] for crop in crops] == [0, 16, 8]


@pytest.mark.parametrize("crop", transforms.CROPS.values())
def test_a_crop_larger_than_the_frame_is_refused(crop):
    with pytest.raises(InputError, match="a crop of 32x64 does not fit in a frame of 32x48"):
        crop(blank(32, 48), (32, 64))


def test_three_crops_need_a_side_of_the_frame():
    with pytest.raises(InputError, match="three crops of 24x24 need a frame of that height or wid"):
        transforms.three_crops(blank(32, 48), (24, 24))


def test_random_boxes_reach_every_place_and_no_further():
    rng = np.random.default_rng(0)
    boxes = {transforms.random_box(4, 5, (3, 3), rng) for _ in range(100)}
    assert boxes == {(top, left, 3, 3) for top in range(2) for left in range(3)}


def test_random_resized_boxes_lie_inside_with_the_areas_and_aspects_they_should():
    rng = np.random.default_rng(0)
    boxes = np.array([transforms.random_resized_box(200, 300, rng) for _ in range(500)])
    top, left, height, width = boxes.T
    assert (top >= 0).all() and (top + height <= 200).all()
    assert (left >= 0).all() and (left + width <= 300).all()
    share, aspect = height * width / 60000, width / height
    # Half a pixel of rounding on the smallest side, 60, is 1 %.
    assert 0.078 < share.min() < 0.12 and 0.8 < share.max() < 1.01
    assert 0.74 < aspect.min() < 0.78 and 1.28 < aspect.max() < 1.35


def test_random_resized_boxes_fall_back_to_the_middle_square():
    rng = np.random.default_rng(0)
    # Nothing of 99 % of so long a picture has an aspect of at most 4/3.
    assert transforms.random_resized_box(10, 100, rng, area=(0.99, 1)) == (0, 45, 10, 10)


@pytest.mark.parametrize(("places", "count"), [(5, 5), (13, 13)])
def test_multi_scale_boxes_have_fixed_sizes_and_places(places, count):
    rng = np.random.default_rng(0)
    scales = (1, 0.875, 0.75, 0.66)
    boxes = {
        transforms.multi_scale_box(256, 340, (224, 224), scales, 1, places, rng)
        for _ in range(3000)
    }
    # 168 is int(256 * .66); 256 * .875 is 224 itself. Neighbours in the list pair up.
    sides = [256, 224, 192, 168]
    pairs = {(h, w) for i, h in enumerate(sides) for w in sides[max(i - 1, 0) : i + 2]}
    assert {(box.height, box.width) for box in boxes} == pairs
    small = {(box.top, box.left) for box in boxes if (box.height, box.width) == (192, 192)}
    assert len(small) == count
    assert {(0, 0), (0, 148), (64, 0), (64, 148), (32, 74)} <= small


def test_multi_scale_sides_snap_to_the_wanted_size_within_three_pixels():
    rng = np.random.default_rng(0)
    box = transforms.multi_scale_box(226, 300, (224, 228), (1,), 0, 5, rng)
    assert (box.height, box.width) == (224, 228)
