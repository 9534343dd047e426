"""Makes the clips and lists of a project folder: `python -m tests.versions.make FOLDER`."""

import sys
from pathlib import Path

import numpy as np

from jaxaction.data.builders import drawing

COLOURS = ("red", "green", "blue")


def main(folder: Path) -> None:
    """Writes `clips/`, `train.txt`, `test.txt` and `labels.txt`: a colour is a class."""
    (folder / "clips").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 6)):
        lines = []
        for i in range(count):
            frames = rng.integers(0, 60, (10, 32, 32, 3), dtype=np.uint8)
            frames[..., i % len(COLOURS)] += 150
            name = f"clips/{split}{i}.mp4"
            (folder / name).write_bytes(drawing.encode(frames, fps=10))
            lines.append(f"{name} {i % len(COLOURS)}\n")
        (folder / f"{split}.txt").write_text("".join(lines))
    (folder / "labels.txt").write_text("".join(f"{colour}\n" for colour in COLOURS))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
