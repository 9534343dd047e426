"""Where the repository and the reference figures lie."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
PARITY = ROOT / "tests" / "parity"
