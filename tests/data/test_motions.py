"""The motions data set: what tells its classes apart, and what must not."""

import hashlib
import io

import av
import numpy as np
import pytest

from jaxaction.data import decode
from jaxaction.data.builders import drawing, motions

LABELS = list(motions.MOTIONS)


def clip(label, seed=0):
    return motions.clip(np.array(motions.MOTIONS[label]), np.random.default_rng(seed))


def center(frame, background):
    """Returns (x, y) of where the frame differs from the background."""
    weight = np.abs(frame.astype(float) - background).sum(-1)
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def area(frame, background):
    return (np.abs(frame.astype(float) - background).sum(-1) > 30).sum()


def background(seed=0):
    return drawing.background(motions.SIDE, np.random.default_rng(seed))


def test_there_are_twelve_motions_in_opposite_pairs():
    pairs = {(LABELS[a], LABELS[b]) for a, b in motions.OPPOSITE.items() if a < b}
    assert pairs == {
        ("moving right", "moving left"),
        ("moving down", "moving up"),
        ("moving down right", "moving up left"),
        ("moving down left", "moving up right"),
        ("rotating clockwise", "rotating counterclockwise"),
        ("growing", "shrinking"),
    }


@pytest.mark.parametrize("label", range(12))
def test_a_clip_backwards_is_the_opposite_motion_frame_for_frame(label):
    backwards = clip(LABELS[label])[::-1]
    np.testing.assert_array_equal(backwards, clip(LABELS[motions.OPPOSITE[label]]))


@pytest.mark.parametrize("label", LABELS[:8])
def test_a_name_says_where_the_object_goes(label):
    frames = clip(label)
    moved = center(frames[-1], background()) - center(frames[0], background())
    directions = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1)}
    expected = np.sum([directions[word] for word in label.split()[1:]], axis=0)
    # The path's 20 to 36 pixels, less what the picture's edge cuts off.
    np.testing.assert_array_equal(np.sign(np.where(np.abs(moved) > 8, moved, 0)), expected)


def test_growing_grows_and_rotating_turns_without_moving():
    growing, turning = clip("growing"), clip("rotating clockwise")
    assert area(growing[-1], background()) > 2 * area(growing[0], background())
    assert area(turning[-1], background()) == pytest.approx(area(turning[0], background()), rel=0.1)


def test_clockwise_is_clockwise_on_the_screen():
    bar = np.zeros((64, 64, 1), np.float32)
    bar[28:36, 32:60] = 1  # a hand that points right
    hand = drawing.Shape(np.full((64, 64, 3), 255, np.float32), bar)
    black = np.zeros((64, 64, 3), np.float32)
    y, x = np.argwhere(drawing.paste(black, hand, (32, 32), 64, 90)[..., 0] > 128).mean(0)
    assert y > 40 and abs(x - 32) < 1.5  # a quarter later it points down


def test_one_frame_looks_the_same_in_every_class():
    """Places and sizes of a random frame, over 80 clips, differ less than chance allows."""
    rng = np.random.default_rng(0)
    places = {}
    for label in ("moving right", "moving up", "rotating clockwise", "growing"):
        frames = [(clip(label, seed)[rng.integers(24)], background(seed)) for seed in range(80)]
        sizes = [[area(*pair) ** 0.5 / 10] for pair in frames]
        places[label] = np.hstack([[center(*pair) for pair in frames], sizes])
    everything = np.concatenate(list(places.values()))
    for values in places.values():
        # Four standard errors of a mean of 80, and 30 % of a standard deviation.
        error = everything.std(0) / 80**0.5
        assert (np.abs(values.mean(0) - everything.mean(0)) < 4 * error).all()
        np.testing.assert_allclose(values.std(0), everything.std(0), rtol=0.3)


def test_a_clip_is_an_h264_mp4_of_frames_coded_alike():
    data = motions.encoded_clip("train", 5)
    with decode.open_video(data) as video:
        assert video.num_frames == 24
        assert video.read([0]).shape == (1, 80, 80, 3)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, container.format.name[:7]) == ("h264", "mov,mp4")
        assert all(packet.is_keyframe for packet in container.demux(stream) if packet.size)


def test_the_coded_frames_do_not_tell_their_place_in_time():
    """Encoding a clip backwards gives the same pictures backwards: coding has no memory."""
    frames = clip("moving right")
    forward, backward = (drawing.encode(x, motions.FPS) for x in (frames, frames[::-1]))
    order = np.arange(24)
    np.testing.assert_array_equal(
        decode.read_frames(forward, order), decode.read_frames(backward, order[::-1])
    )


def test_the_same_clip_has_the_same_bytes_every_time():
    assert motions.encoded_clip("test", 7) == motions.encoded_clip("test", 7)


def test_train_and_test_have_no_clip_in_common():
    digests = [
        hashlib.sha256(motions.encoded_clip(split, index)).digest()
        for split in ("train", "test")
        for index in range(24)
    ]
    assert len(set(digests)) == 48
