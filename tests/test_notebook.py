"""The notebook runs from its first cell to its last, on other recordings than those it was committed with."""

from pathlib import Path

import pytest
import soundfile
from tiny_music import SINGER

from music_featurization.dataset.genres import GENRES

EXTRAS = Path(__file__).parent.parent / "extras"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The text and the number of pictures of each code cell, after a run on four pieces of a recording."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    folder = tmp_path_factory.mktemp("music")
    samples, rate = soundfile.read(SINGER)
    for number in range(4):
        piece = samples[number * len(samples) // 4 : (number + 1) * len(samples) // 4]
        soundfile.write(folder / f"piece-{number}.wav", piece, rate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUSIC", str(folder))
        notebook = nbformat.read(EXTRAS / "notebook.ipynb", as_version=4)
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(EXTRAS)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    texts = ["".join(output.get("text", "") for output in cell.outputs) for cell in code]
    pictures = [sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in code]
    return texts, pictures


def test_notebook_shows_four_recordings_and_three_pictures(cells):
    texts, pictures = cells
    assert texts[0].startswith("4 recordings") and "piece-0.wav" in texts[0]
    assert sum(pictures) == 3


def test_notebook_prints_tags_genres_and_neighbours(cells):
    texts, _ = cells
    tags, genres, neighbours = (next(text for text in texts if mark in text) for mark in ("mtt_", "rock", "nearest"))
    likeliest = [float(line.split()[0]) for line in tags.splitlines()]
    assert likeliest == sorted(likeliest, reverse=True) and len(likeliest) == 8
    assert {line.split()[1] for line in genres.splitlines()} == set(GENRES)
    assert sum(float(line.split()[0]) for line in genres.splitlines()) == pytest.approx(1, abs=0.01)
    assert sorted(line.split()[1] for line in neighbours.splitlines()[1:]) == ["piece-1", "piece-2", "piece-3"]
