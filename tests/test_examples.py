"""The notebooks of `examples/` run from top to bottom, in kernels of their own, on less data."""

import os
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

FEWER = {"CLIPS_PER_CLASS": 4, "EPOCHS": 1}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a notebook with `FEWER` as its parameters; returns its texts and number of pictures."""
    for module in ("nbclient", "myst_nb", "ipykernel"):
        pytest.importorskip(module, reason="the docs extra is not installed")
    import nbclient
    from myst_nb.core.read import read_myst_markdown_notebook

    commands = str(Path(sys.executable).parent)  # where `jaxaction` is, as in an active environment
    monkeypatch.setenv("PATH", os.pathsep.join([commands, os.environ["PATH"]]))
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def run(name):
        text = (ROOT / "examples" / f"{name}.md").read_text("utf-8")
        notebook = read_myst_markdown_notebook(text)
        (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
        cell.source = "\n".join(f"{name} = {value}" for name, value in FEWER.items())
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
        data = [output.get("data", {}) for output in outputs]
        printed = "".join(output.get("text", "") for output in outputs)
        values = [item["text/plain"] for item in data if "text/plain" in item]
        return "\n".join([printed, *values]), sum("image/png" in item for item in data)

    return run


def test_a_network_is_fine_tuned_on_a_folder_of_clips(run):
    texts, pictures = run("fine_tune")
    assert "the classifier of 8 classes is replaced by a fresh one of 4" in texts
    assert "'num_videos': 4" in texts and pictures == 1


def test_videos_are_scored_and_shown(run):
    texts, pictures = run("score_videos")
    assert "test/moving_right_00.mp4\n  0." in texts
    assert "num_videos: 16.000" in texts and pictures == 1
