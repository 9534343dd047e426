"""The data settings of MMAction2's configs, against those of our variants."""

import pytest

from jaxaction.errors import InputError
from jaxaction.interop.mmaction_pipeline import run_settings
from tests.test_configs import MODELS, RECIPES, load, reference

# Its own test can't run, and its variant tests as it was meant.
BROKEN = "tsm:r50-1x1x16-sthv2"


@pytest.mark.parametrize("name", [name for name in RECIPES if name != BROKEN])
def test_settings_of_a_published_config_are_those_of_its_variant(name):
    settings = {"model": MODELS[RECIPES[name].reference]} | reference(name)
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
        "test.short_side": 256,
        "test.size": (256, 256),
        "test.crops": "three",
        "test.average": "score",
    }


def test_a_sampling_that_is_not_known_is_named():
    with pytest.raises(InputError, match="test_pipeline: UntrimmedSampleFrames is not supported"):
        run_settings(older({"type": "UntrimmedSampleFrames", "clip_len": 1}))
