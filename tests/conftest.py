"""Fixtures that several test modules share."""

import shutil

import hypothesis
import pytest
import tiny_music
import tiny_results
from tiny_pipeline import AFTER_TRAINING, DATA_STEPS, call_script, run_all

from music_featurization import workers
from music_featurization.artifacts import FEATURIZE, MAP, PREDICTION, REPORT, STEP_1, Artifacts

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


@pytest.fixture
def open_page(browser):
    """A function that opens a URL; at the end it fails if a page complained or read something from elsewhere."""
    complaints, requests, pages = [], [], {}

    def open_url(url):
        page = pages[url] = browser.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(url)
        return page

    yield open_url
    for page in pages.values():
        page.close()
    assert complaints == []
    roots = tuple(url.rpartition("/results/")[0] for url in pages)
    assert all(url.startswith((*roots, "data:", "blob:")) for url in requests)


@pytest.fixture(scope="session")
def _collection(tmp_path_factory):
    return tiny_music.make_collection(tmp_path_factory.mktemp("collection"))


@pytest.fixture(scope="session")
def _collection_with_spectrograms(_collection, tmp_path_factory):
    root = tmp_path_factory.mktemp("spectrograms") / "root"
    shutil.copytree(_collection, root)
    run_all(root, (STEP_1,))
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
def _finished_root(_collection_with_spectrograms, tmp_path_factory):
    """A root in which every script has run, with a tiny network instead of training."""
    artifacts = Artifacts(shutil.copytree(_collection_with_spectrograms, tmp_path_factory.mktemp("finished") / "root"))
    (artifacts.mp3_files / "0/bad.mp3").write_bytes(b"no music" * 99)
    tiny_results.make_model(artifacts.models / "epoch_02_0.4100.h5")
    tiny_results.make_history(artifacts, [1.5, 1.2, 1.3])
    run_all(artifacts.root, *DATA_STEPS, *AFTER_TRAINING)
    return artifacts.root


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


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """Results with hostile names of 90 test clips, half of the recordings there, and their map and report."""
    artifacts = tiny_results.make_split(
        tmp_path_factory.mktemp("hostile"), tiny_results.HOSTILE_GENRES, (4, 2, 30), tiny_results.HOSTILE_ARTIST
    )
    tiny_results.make_history(artifacts, [1.5, 1.2, 1.3])
    network = {"network": "crnn", "epochs": 3, "note": "<i>"}
    tiny_results.make_results(artifacts, classes=tiny_results.HOSTILE_GENRES, network=network, seed=3)
    tiny_results.write_recordings(artifacts)
    for script in (PREDICTION, MAP, REPORT):
        call_script(script, artifacts)
    return artifacts
