"""The data settings of MMAction2's configs, against those of our variants."""

import pytest

from jaxaction.errors import InputError
from jaxaction.interop.mmaction_pipeline import run_settings
from tests.test_configs import MODELS, RECIPES, load, mmaction_recipe

# Its own test can't run, and its variant tests as it was meant.
BROKEN = "tsm:r50-1x1x16-sthv2"


@pytest.mark.parametrize("name", [name for name in RECIPES if name != BROKEN])
def test_settings_of_a_published_config_are_those_of_its_variant(name):
    settings = {"model": MODELS[RECIPES[name].mmaction_name]} | mmaction_recipe(name)
    config = load(name)
    dense = config.data.sampling == "dense"
    for key, value in run_settings(settings).items():
        section, field = key.split(".")
        if field == "frame_interval" and not dense and config.model.name.startswith("ts"):
            continue  # of segments there is none
        assert config[section][field] == value, key


NORMALIZE = {"type": "Normalize", "mean": [1, 2, 3], "std": [4, 5, 6], "to_bgr": False}


def older(*steps, average="prob"):
    """A config of 0.x with these steps of its test."""
    model = {"type": "Recognizer3D", "cls_head": {"type": "I3DHead"}}
    model["test_cfg"] = {"average_clips": average}
    return {"model": model, "data": {"test": {"pipeline": [*steps]}}}


def test_settings_of_0x_are_found_in_its_pipelines():
    sampling = {"type": "SampleFrames", "clip_len": 32, "frame_interval": 2, "num_clips": 10}
    resize, crop = {"type": "Resize", "scale": (-1, 256)}, {"type": "ThreeCrop", "crop_size": 256}
    assert run_settings(older(sampling, resize, crop, NORMALIZE, average="score")) == {
        "data.mean": (1.0, 2.0, 3.0),
        "data.std": (4.0, 5.0, 6.0),
        "test.sampling": "clips",
        "test.clip_len": 32,
        "test.frame_interval": 2,
        "test.num_clips": 10,
        "test.placement": "centers",
        "test.short_side": 256,
        "test.size": (256, 256),
        "test.crops": "three",
        "test.average": "score",
    }


def test_a_sampling_that_is_not_known_is_named():
    with pytest.raises(InputError, match="test_pipeline: UntrimmedSampleFrames is not supported"):
        run_settings(older({"type": "UntrimmedSampleFrames", "clip_len": 1}))


def newer(*steps, **preprocessor):
    """A config of 1.x with these steps of its test, of a 2D network if it says its pixels."""
    model = {"type": "Recognizer2D" if preprocessor else "Recognizer3D"}
    backbone = {"in_channels": 10} if preprocessor else {}
    return {
        "model": model | {"cls_head": {}, "data_preprocessor": preprocessor, "backbone": backbone},
        "test_pipeline": [*steps],
    }


def test_stacked_flow_has_two_channels_a_frame():
    sampling = {"type": "SampleFrames", "clip_len": 5, "frame_interval": 1, "num_clips": 25}
    assert run_settings(newer(sampling, mean=[128, 127], std=[2, 3])) == {
        "data.modality": "flow",
        "data.mean": (128.0, 127.0) * 5,
        "data.std": (2.0, 3.0) * 5,
        "test.sampling": "segments",
        "test.clip_len": 25,
        "test.num_clips": 1,
        "test.stack": 5,
        "test.frame_interval": 1,
    }


def test_frames_past_the_end_and_the_frame_rate_are_taken_over():
    sampling = {"type": "SampleFrames", "clip_len": 8, "frame_interval": 8, "num_clips": 10}
    values = run_settings(newer(sampling | {"out_of_bound_opt": "repeat_last", "target_fps": 30}))
    assert (values["test.past_end"], values["test.target_fps"]) == ("repeat_last", 30.0)
    assert "test.placement" not in values  # 1.x's is the usual one


def test_uniform_sampling_is_taken_over():
    values = run_settings(newer({"type": "UniformSample", "clip_len": 16, "num_clips": 2}))
    assert values == {"test.sampling": "uniform", "test.clip_len": 16, "test.num_clips": 2}
