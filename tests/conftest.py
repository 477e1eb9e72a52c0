"""Fixtures that several test modules share."""

import shutil

import hypothesis
import pytest
import tiny_music
import tiny_results
from tiny_pipeline import call_script, run_script

from music_featurization import workers
from music_featurization.artifacts import FEATURIZE, STEP_1

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one is slow now and then
hypothesis.settings.load_profile("any machine")


def pytest_addoption(parser):
    parser.addoption(
        "--thorough",
        action="store_true",
        help="kill 20 times instead of 4 in the test of kill -9, and damage each artifact in every way",
    )


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A real browser, as a context of playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine")
    quiet = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
    with playwright.sync_playwright() as started:
        yield started.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=chromium,
            args=["--no-sandbox", *quiet, "--disable-component-update", "--disable-sync"],
            viewport={"width": 1300, "height": 850},
        )


@pytest.fixture(scope="session")
def _collection(tmp_path_factory):
    return tiny_music.make_collection(tmp_path_factory.mktemp("collection"))


@pytest.fixture(scope="session")
def _collection_with_spectrograms(_collection, tmp_path_factory):
    root = tmp_path_factory.mktemp("spectrograms") / "root"
    shutil.copytree(_collection, root)
    assert run_script(STEP_1, root) == 0
    return root


@pytest.fixture
def collection(_collection, tmp_path):
    """Root of a tiny collection, nothing made of it yet; the test may change it."""
    return shutil.copytree(_collection, tmp_path / "music")


@pytest.fixture
def collection_with_spectrograms(_collection_with_spectrograms, tmp_path):
    """As `collection`, after step 1."""
    return shutil.copytree(_collection_with_spectrograms, tmp_path / "root")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """File of a tiny network without a front end."""
    path = tmp_path_factory.mktemp("model") / "network.h5"
    tiny_results.make_model(path)
    return path


@pytest.fixture
def featurize_here(tiny_model, monkeypatch, capsys):
    """Function that runs featurize.py with the tiny network, without worker processes; it returns what is printed."""
    monkeypatch.setattr(workers, "run", lambda function, paths, **_: ((path, function(path)) for path in paths))

    def run(*args, status=0):
        assert call_script(FEATURIZE, None, *args, "--model", tiny_model) == status
        return capsys.readouterr().out

    return run
