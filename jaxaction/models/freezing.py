"""How much of each stage stays unchanged in training.

Stages have the numbers 0 (the stem), 1 (`layer1`), and so on.
"""

NORMS = ("norms", "all")  # levels at which a norm's scale and bias get no gradient


def freeze_level(
    stage: int, *, frozen_stages: int, norm_eval: bool, partial_bn: bool = False
) -> str:
    """Returns the `freeze` of a stage's convolutions and norms.

    There are four levels, and each includes those before it:

    - "": nothing is frozen.
    - "statistics": norms use the running statistics and do not update them.
    - "norms": scale and bias of the norms get no gradient.
    - "all": nor do the kernels.

    Stages up to `frozen_stages` (-1: none) are at "all". `norm_eval` puts every stage at
    "statistics" or above, `partial_bn` every stage but the stem at "norms" or above. MMAction2 has
    these rules in `_freeze_stages` and `_partial_bn`.
    """
    if stage <= frozen_stages:
        return "all"
    if partial_bn and stage > 0:
        return "norms"
    return "statistics" if norm_eval else ""
