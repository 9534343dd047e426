"""Writes the curves of a run, as TensorBoard event files and as `metrics.jsonl`.

The package `tensorboard` writes event files, without TensorFlow.
"""

import time

# The modules that protoc makes define their classes at import, where pyright doesn't see them.
from tensorboard.compat.proto.event_pb2 import (
    Event,  # pyright: ignore[reportAttributeAccessIssue]
    SessionLog,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from jaxaction.storage.history import History


class Events:
    """Writes the scalars of a run that starts or continues after `first_step`.

    An interrupted run may have written later steps. They are removed from `metrics.jsonl` at once.
    """

    def __init__(self, workdir: str, first_step: int) -> None:
        self._history = History(workdir, first_step)
        self._writer = EventFileWriter(workdir)
        # At this event TensorBoard drops the later steps that it has read from earlier files.
        self._add(first_step, session_log=SessionLog(status=SessionLog.START))

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, kind: type | None, *exception: object) -> None:
        try:
            self._writer.close()
        except OSError:  # such as a full disk; if the run has failed, its own error says more
            if kind is None:
                raise

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes one point of each named curve, and flushes the files."""
        self._history.add(step, values)
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._add(step, summary=Summary(value=points))
        self._writer.flush()

    def _add(self, step: int, **content: object) -> None:
        self._writer.add_event(Event(wall_time=time.time(), step=step, **content))


class NoEvents:
    """The `Events` of all processes except the first; writes nothing."""

    def __enter__(self) -> "NoEvents":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes nothing."""
