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
LEFT_OUT = ("train/seconds_per_step",)  # clips_per_second says it


def charts(curves: dict[str, dict[int, float]]) -> list[Element]:
    """A chart of the losses, one of all accuracies, and one of each other curve."""
    last_step = max((step for points in curves.values() for step in points), default=0)
    made = []
    for title, names in _grouped(curves).items():
        members = [Curve(_name(name, len(names)), curves[name]) for name in names]
        shares = title in ("Accuracy", _name("train/data_share", 1).capitalize())
        made.append(figure(title, members, last_step, shares))
    return made


def _grouped(curves: dict[str, dict[int, float]]) -> dict[str, list[str]]:
    groups = {"Loss": [], "Accuracy": [], "Learning rate": []}
    for name in curves:
        split, _, value = name.partition("/")
        if name in LEFT_OUT:
            continue
        if value.endswith("loss"):
            groups["Loss"].append(name)
        elif split in ("val", "test") or value == "accuracy":
            groups["Accuracy"].append(name)
        else:
            groups.setdefault(_name(name, 1).capitalize(), []).append(name)
    return {title: names for title, names in groups.items() if names}


def _name(curve: str, among: int) -> str:
    """`val top-1`; without the split if the chart has no other curve."""
    split, _, value = curve.rpartition("/")
    words = NAMES.get(value, value.replace("_", " "))
    return f"{split} {words}" if among > 1 else words
