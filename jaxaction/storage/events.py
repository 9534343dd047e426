"""Writes what a run measures, as TensorBoard event files and as `metrics.jsonl`.

Event files are written by the package `tensorboard`, which needs no TensorFlow.
"""

import time
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from jaxaction.storage.history import History


class Events:
    """Scalars of a run, from `first_step` on.

    An interrupted run may have written later steps. Those are removed from `metrics.jsonl` now;
    TensorBoard leaves them out when it reads the event files.
    """

    def __init__(self, workdir: str, first_step: int) -> None:
        self._history = History(workdir, first_step)
        self._writer = EventFileWriter(workdir)
        self._add(first_step, session_log=SessionLog(status=SessionLog.START))

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, kind: type | None, *exception: Any) -> None:
        try:
            self._writer.close()
        except OSError:  # such as a full disk; if the run is failing, its own error says more
            if kind is None:
                raise

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes one point of every named curve, through to the files."""
        self._history.add(step, values)
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._add(step, summary=Summary(value=points))
        self._writer.flush()

    def _add(self, step: int, **content: Any) -> None:
        self._writer.add_event(Event(wall_time=time.time(), step=step, **content))


class NoEvents:
    """Stands in for `Events` in all processes but the first; writes nothing."""

    def __enter__(self) -> "NoEvents":
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes nothing."""
