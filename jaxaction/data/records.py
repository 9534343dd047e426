"""The records that a source of videos gives, and the protocol of a source."""

from typing import NamedTuple, Protocol, runtime_checkable


class Record(NamedTuple):
    """One labelled video."""

    id: str
    video: object
    """A path, an encoded file's bytes, a list of encoded pictures, or a `FrameFolder`."""
    label: int | tuple[int, ...]
    """A tuple in data sets where a video may have several labels."""


@runtime_checkable
class Source(Protocol):
    """Numbered records; the loaders take any object with these attributes."""

    label_names: tuple[str, ...]
    mirror_changes_class: bool
    """Whether a mirrored clip belongs to another class, so that it must not be flipped."""

    multi_label: bool
    """Whether a video may have several labels: then each label is a tuple."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record: ...

    def id(self, index: int) -> str:
        """Returns the record's `id` without reading the video."""
        ...
