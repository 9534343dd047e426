"""What of a stage training leaves as it is; stages are numbered 0 (the stem), 1 (`layer1`), ..."""

NORMS = ("norms", "all")  # what stops the gradients of a norm's scale and bias


def freeze_level(stage: int, frozen_stages: int, norm_eval: bool, partial_bn: bool = False) -> str:
    """Returns the `freeze` of a stage's convolutions and norms, each level with those before it.

    "" nothing, "statistics": norms take the running statistics and leave them, "norms": their scale
    and bias get no gradient, "all": nor do the kernels. `frozen_stages` is the last stage with
    "all" (-1: none), `norm_eval` asks for "statistics" in every stage, `partial_bn` for "norms" in
    all but the stem, whose norm is the first. The reference's `_freeze_stages` and `_partial_bn`.
    """
    if stage <= frozen_stages:
        return "all"
    if partial_bn and stage > 0:
        return "norms"
    return "statistics" if norm_eval else ""
