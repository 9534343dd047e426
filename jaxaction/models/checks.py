"""Checks that several networks share, of a clip's shape and of a model's fields."""

from jaxaction.errors import InputError


def check_trainable(train: bool, folded: bool) -> None:
    """Raises InputError for training a network whose norms `fold_batch_norm` has removed."""
    if train and folded:
        raise InputError(
            "model.folded is true: without batch norms the network can't be trained; "
            "train the one that it was folded from"
        )


def check_shape(shape: tuple[int, ...], in_channels: int) -> None:
    """Raises InputError where `shape` is not `[n, t, h, w, in_channels]`."""
    if len(shape) != 5 or shape[-1] != in_channels:
        raise InputError(
            f"a clip of shape {list(shape)} is not [n, t, h, w, {in_channels}]; "
            f"model.in_channels is {in_channels}"
        )


def check_stage_numbers(frozen_stages: int, remat: tuple[int, ...], last: int) -> None:
    """Raises InputError for stages other than 0 (the stem), 1, ..., `last`."""
    if not -1 <= frozen_stages <= last:
        raise InputError(
            f"model.frozen_stages {frozen_stages} is not the last frozen stage, 0 (the stem)"
            f" to {last}; -1 freezes none"
        )
    if unknown := sorted(set(remat) - set(range(last + 1))):
        raise InputError(
            f"model.remat {remat} has {unknown[0]}, which is no stage; give some of 0 (the stem) to"
            f" {last}, or () for none"
        )


def check_segments(segments: int, num_segments: int) -> None:
    """Raises InputError where a clip has another number of segments than its model."""
    if segments != num_segments:
        raise InputError(
            f"a clip of {segments} segments (data.clip_len) does not fit model.num_segments "
            f"{num_segments}; set both to the same number"
        )
