"""Which curves of a run share a chart."""

from jaxaction.report.chart import Curve, figure
from jaxaction.report.elements import Element

# The names of curves for readers, where they differ from those in the files.
NAMES = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_average_precision": "mAP",
    "mmit_mean_average_precision": "mAP over videos",
    "grad_norm": "gradient norm",
    "data_share": "time spent waiting for data",
}
LEFT_OUT = ("train/seconds_per_step",)  # clips_per_second says the same
LOSS_PARTS = "loss/"


def charts(curves: dict[str, dict[int, float]]) -> list[Element]:
    """Returns a chart of all losses, one of all accuracies, and one for each other quantity.

    `curves` maps names such as "train/loss" to `{step: value}`. Training, validation and test share
    the chart of a quantity.
    """
    last_step = max((step for points in curves.values() for step in points), default=0)
    made = []
    for title, names in _grouped(curves).items():
        members = [Curve(_name(name, len(names)), curves[name]) for name in names]
        shares = title in ("Accuracy", _name("train/data_share", 1).capitalize())
        made.append(figure(title, members, last_step, shares))
    return made


def _grouped(curves: dict[str, dict[int, float]]) -> dict[str, list[str]]:
    """Returns the names of the curves in each chart, by the chart's title."""
    groups: dict[str, list[str]] = {"Loss": [], "Accuracy": [], "Learning rate": []}
    for name in curves:
        split, _, value = name.partition("/")
        if name in LEFT_OUT or _repeats_loss(name, curves):
            continue
        if value.endswith("loss") or value.startswith(LOSS_PARTS):
            groups["Loss"].append(name)
        elif split in ("val", "test") or value == "accuracy":
            groups["Accuracy"].append(name)
        else:
            groups.setdefault(_name(name, 1).capitalize(), []).append(name)
    return {title: names for title, names in groups.items() if names}


def _repeats_loss(name: str, curves: dict[str, dict[int, float]]) -> bool:
    """Whether the curve is the only part of a loss, such as "train/loss/cross_entropy"."""
    split, _, value = name.partition("/")
    parts = [other for other in curves if other.startswith(f"{split}/{LOSS_PARTS}")]
    # "train/loss" is the sum of the parts. It is the curve to keep: every run has it, by one name.
    return value.startswith(LOSS_PARTS) and len(parts) == 1 and f"{split}/loss" in curves


def _name(curve: str, among: int) -> str:
    """Returns a name such as `val top-1`, without `val` if its chart has no other curve."""
    split, _, value = curve.partition("/")
    value = value.removeprefix(LOSS_PARTS)
    words = NAMES.get(value, value.replace("_", " "))
    return f"{split} {words}" if among > 1 else words
