"""MMAction2's data pipelines as the values of a config: how frames are sampled and cropped."""

from collections.abc import Mapping
from typing import Any

from jaxaction.errors import InputError

CROPS = {"CenterCrop": "center", "ThreeCrop": "three", "TenCrop": "ten"}
SAMPLERS = ("SampleFrames", "DenseSampleFrames", "UniformSample")
WINDOW = 64  # frames that a dense clip of segments fills


def run_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns config values, `{"test.clip_len": 8, ...}`, of a whole MMAction2 config, 1.x or 0.x.

    `data` has the sampling and the pixels' scale, `val` and `test` have the protocol. Values that
    the file lacks, and usual ones, are left out. InputError names a sampling or a crop that is
    not supported.
    """
    is_2d = settings["model"].get("type") == "Recognizer2D"
    values = {}
    for section, key in (("data", "train"), ("val", "val"), ("test", "test")):
        steps = _pipeline(settings, key)
        fields = _read_sampling(steps, is_2d, key) | _read_size(steps, section)
        if "data" in settings and section != "data" and _sampled_in_clips(fields):
            fields["placement"] = "centers"  # 0.x's rule
        values |= {f"{section}.{name}": value for name, value in fields.items()}
    stack = next((value for key, value in values.items() if key.endswith(".stack")), 1)
    return _read_pixels(settings, stack) | values | _read_average(settings)


def _sampled_in_clips(fields: Mapping[str, Any]) -> bool:
    return fields.get("sampling") == "clips" or "stack" in fields


def _pipeline(settings: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    steps = settings.get(f"{key}_pipeline")
    if steps is None:
        steps = settings.get("data", {}).get(key, {}).get("pipeline", [])
    return [dict(step) for step in steps]


def _read_pixels(settings: Mapping[str, Any], stack: int) -> dict[str, Any]:
    """In 1.x the network normalises, in 0.x the pipeline does; of flow maybe for one frame."""
    normalize = settings["model"].get("data_preprocessor") or {}
    for step in _pipeline(settings, "test"):
        normalize = step if step.get("type") == "Normalize" else normalize
    pairs = {f"data.{name}": normalize.get(name) for name in ("mean", "std")}
    channels = settings["model"].get("backbone", {}).get("in_channels", 3)
    values = {
        key: tuple(map(float, value)) * max(channels // len(value), 1)
        for key, value in pairs.items()
        if value
    }
    return values | ({"data.modality": "flow"} if channels == 2 * stack else {})


def _read_sampling(steps: list[Mapping[str, Any]], is_2d: bool, where: str) -> dict[str, Any]:
    sampler = _find_step(steps, SAMPLERS)
    if sampler is None:
        unknown = next((s["type"] for s in steps if "Sample" in s.get("type", "")), "")
        if unknown:
            raise InputError(f"{where}_pipeline: {unknown} is not supported; known are {SAMPLERS}")
        return {}
    clips, interval = sampler.get("num_clips", 1), sampler.get("frame_interval", 1)
    dense, train = sampler["type"] == "DenseSampleFrames", where == "train"
    if sampler["type"] == "UniformSample":
        fields = {"sampling": "uniform", "clip_len": sampler["clip_len"]}
        return fields if train else fields | {"num_clips": clips}
    if is_2d:
        fields = {"sampling": "segments", "clip_len": clips, "num_clips": 1}
        fields["num_clips"] += bool(sampler.get("twice_sample"))
        if sampler.get("clip_len", 1) > 1:
            fields["stack"] = sampler["clip_len"]
        interval = WINDOW // clips if dense else interval
    else:
        fields = {"sampling": "clips", "clip_len": sampler["clip_len"], "num_clips": clips}
    if dense:
        fields |= {"sampling": "dense", "num_clips": sampler.get("num_sample_positions", 10)}
    fields["frame_interval"] = interval
    if sampler.get("out_of_bound_opt", "loop") != "loop":
        fields["past_end"] = sampler["out_of_bound_opt"]
    if sampler.get("target_fps"):
        fields["target_fps"] = float(sampler["target_fps"])
    return {key: value for key, value in fields.items() if key != "num_clips" or not train}


def _read_size(steps: list[Mapping[str, Any]], section: str) -> dict[str, Any]:
    """The first resizing that keeps the shape is to a short side; then come the crops."""
    fields = {}
    scale = next((s["scale"] for s in steps if s.get("type") == "Resize"), None)
    if scale is not None and -1 in tuple(scale):
        fields["short_side"] = max(scale)
    crop = _find_step(steps, CROPS)
    if crop is not None and section != "data":
        size = crop["crop_size"]
        fields["size"] = (size, size) if isinstance(size, int) else tuple(size)
        fields["crops"] = CROPS[crop["type"]]
    return fields


def _read_average(settings: Mapping[str, Any]) -> dict[str, Any]:
    """TSN's features are averaged before its classifier, which is the mean of logits."""
    head, test = settings["model"].get("cls_head", {}), settings["model"].get("test_cfg") or {}
    if head.get("type") == "TSNHead":
        return {"test.average": "score"}
    average = head.get("average_clips") or test.get("average_clips")
    return {"test.average": average} if average else {}


def _find_step(steps: list[Mapping[str, Any]], kinds: Any) -> Mapping[str, Any] | None:
    return next((step for step in steps if step.get("type") in kinds), None)
