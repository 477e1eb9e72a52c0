"""results/report.html: what it says, and how a real browser shows it."""

import functools
import http.server
import json
import os
import re
import shutil
import threading
from html import unescape
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import markupsafe
import numpy as np
import pytest
import soundfile
from tiny_pipeline import load_script
from tiny_results import make_history, make_results, make_spectrograms, make_split

from music_featurization.artifacts import PROVIDED_MODEL, REPOSITORY, Artifacts, PipelineError, fingerprint
from music_featurization.dataset.genres import GENRES
from music_featurization.evaluation import commands, measurement, results
from music_featurization.network import recipe

make_report = load_script("results_utils/make_report.py").main
manage_prediction = load_script("results_utils/manage_prediction.py").main
NASTY = "a<script>alert(1)<b>b&\"'#?%41 é"  # a file name can hold all of this but the slash
HOSTILE_GENRES = ("<img src=x onerror=alert(1)>", 'a"b', "rock & roll")


def write_recordings(artifacts, every=2):
    """Write a second of noise as mp3 for every second clip of the test set."""
    names = results.read_clips(artifacts, "test")["spectrogram"][::every]
    rng = np.random.default_rng(1)
    for name in names:
        path = artifacts.mp3_files / f"{name.removesuffix('.npy')}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(scale=0.1, size=16000), 16000, format="MP3")


def write_report(artifacts):
    manage_prediction(["--root", str(artifacts.root)])
    make_report(["--root", str(artifacts.root)])
    return (artifacts.results / "report.html").read_text(encoding="utf-8")


def wrong(artifacts):
    return int((np.load(artifacts.prediction) != results.read_clips(artifacts, "test")["label"]).sum())


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report on hostile names, with half of the recordings there."""
    artifacts = make_split(tmp_path_factory.mktemp("report"), HOSTILE_GENRES, clips_per_class=(4, 2, 30), artist=NASTY)
    make_history(artifacts, [1.5, 1.2, 1.3])
    network = {"network": "crnn", "epochs": 3, "note": "<i>"}
    make_results(artifacts, classes=HOSTILE_GENRES, network=network, seed=3)
    write_recordings(artifacts)
    write_report(artifacts)
    assert wrong(artifacts) >= 10
    return artifacts


def test_names_are_escaped_and_nothing_points_outside(report):
    text = (report.results / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text and "<i>" not in text and "<img src=x" not in text
    assert "<td>note</td><td>&lt;i&gt;</td>" in text
    assert str(markupsafe.escape(NASTY)) in text and str(markupsafe.escape(HOSTILE_GENRES[0])) in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    players = [source for source in sources if not source.startswith("data:")]
    assert not re.search(r"url\(|@import|https?://", re.sub(r'"data:[^"]*"', "", text))
    assert players and all(source.startswith("../datasets/mp3_files/") for source in players)
    files = [Path(os.path.normpath(report.results / unquote(source))) for source in players]
    assert all(file.is_file() for file in files) and len(set(files)) == len(files)
    assert len(players) + text.count("recording missing") == 10


def test_report_repeats_byte_for_byte(report):
    first = (report.results / "report.html").read_bytes()
    write_report(report)
    assert (report.results / "report.html").read_bytes() == first


def test_numbers_of_the_data_set(tmp_path):
    artifacts = make_split(tmp_path, clips_per_class=(3, 1, 2))
    make_results(artifacts)
    text = write_report(artifacts)
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]
    # The three train clips of a genre are of one song; the two of test of two.
    assert ["opera", "3", "1", "1", "1", "1", "1", "2", "2", "1"] in rows
    assert ["all", "18", "6", "6", "6", "6", "6", "12", "12", "6"] in rows
    assert "50.0% are of a song that is also in the training set, 100.0% of an artist" in text
    assert "no history of the training" in text


def test_most_confused_come_first(tmp_path):
    artifacts = make_split(tmp_path)
    probabilities = make_results(artifacts, seed=5)
    text = write_report(artifacts)
    shown = re.findall(r"<td>[^<]*?&nbsp;(\d+)%</td>", text[text.index("Most confused") :])
    leads = [int(predicted) - int(true) for true, predicted in zip(shown[::2], shown[1::2], strict=True)]
    assert len(leads) == min(wrong(artifacts), 10) > 2
    assert all(first >= second - 1 for first, second in pairwise(leads))  # 1: rounding
    truth = results.read_clips(artifacts, "test")["label"].to_numpy()
    lead = probabilities.max(axis=1) - probabilities[np.arange(len(truth)), truth]
    assert leads[0] == pytest.approx(100 * lead.max(), abs=1.01)


def test_nothing_confused_and_a_genre_without_clips(tmp_path):
    artifacts = make_split(tmp_path)
    table = results.read_clips(artifacts, "test")
    table[table["genre"] != "opera"].to_csv(artifacts.split("test"), index=False)
    make_results(artifacts)
    perfect = np.eye(6, dtype=np.float32)[results.read_clips(artifacts, "test")["label"]]
    np.save(artifacts.probabilities, perfect)
    np.save(artifacts.prediction, perfect.argmax(axis=1))
    text = write_report(artifacts)
    assert "No test clip is classified wrongly." in text and "No test clip: opera" in text


def test_results_of_other_origin_without_a_split(tmp_path):
    made = make_split(tmp_path / "made")
    make_results(made)
    alone = Artifacts(tmp_path / "alone")
    alone.results.mkdir(parents=True)
    for path in (made.prediction, made.probabilities, made.test_features):
        shutil.copy(path, alone.results)
    text = write_report(alone)
    assert "There is no split beside these results" in text and "<audio" not in text


def test_commands_repeat_what_was_done(tmp_path):
    artifacts = make_split(tmp_path / "a b")
    make_results(artifacts)
    settings = json.loads((artifacts.split_folder / "settings.json").read_text())
    settings["settings"]["group_by"] = "song"
    (artifacts.split_folder / "settings.json").write_text(json.dumps(settings))
    artifacts.models.mkdir()
    trained = {"settings": {"network": "crnn", "epochs": 3, "batch_size": 16, "seed": 7, "mixup": 0.3}}
    artifacts.training_settings.write_text(json.dumps(trained))
    text = write_report(artifacts)
    root = markupsafe.escape(f"--root '{artifacts.root}'")
    assert f"python3 datasets_utils/4_save_train_and_test.py {root} --group-by song\n" in text
    assert f"python3 python/1-training.py {root} --network crnn --epochs 3 --batch-size 16 --seed 7\n" in text


def commands_of(text):
    return unescape(re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)[1]).splitlines()


def test_commands_of_every_step_have_the_options_that_were_given(tmp_path):
    """Records as the steps write them; a name with a comma needs a file."""
    artifacts = make_split(tmp_path)
    make_results(artifacts, options={"model": "models/other.h5", "batch_size": 8})
    make_results(artifacts, part="all", options={"split": "all"})
    load_script("python/3-format_dataset.py").main(["--root", str(artifacts.root), "--split", "all"])
    priority = ["rock, live", "jazz"]
    records = {
        artifacts.tagged: {"merge_synonyms": True, "genres_from_folders": False},
        artifacts.genres: {"genres": priority, "priority": priority},
        artifacts.split_folder / "settings.csv": {"genres": list(GENRES), "group_by": None, "split_by": "folder"},
        artifacts.annotations.with_name("demo_dataset.csv"): {"pieces": 60, "seed": 3},
    }
    for path, settings in records.items():
        path.touch()
        path.with_suffix(".json").write_text(json.dumps({"settings": settings, "inputs": "0"}))
    artifacts.models.mkdir()
    trained = {"network": "crnn", "epochs": 3, "seed": 1, "weights": "pretrained", "fine_tune": True, "keep": "best"}
    recipe_of_run = {**recipe.RECIPES["crnn"], "learning_rate": 0.01, "class_weights": False}
    trained |= recipe_of_run | {"start_from": fingerprint(PROVIDED_MODEL), "split": "0", "front_end": {}}
    artifacts.training_settings.write_text(json.dumps({"settings": trained}))
    root = f"--root {artifacts.root}"
    assert commands_of(write_report(artifacts)) == [
        f"python3 datasets_utils/0_make_demo_dataset.py {root} --pieces 60 --seed 3",
        f"python3 datasets_utils/1_generate_spectrograms.py {root}",
        f"python3 datasets_utils/2_assign_genre.py {root} --merge-synonyms",
        "printf '%s\\n' 'rock, live' jazz > genres.txt",
        f"python3 datasets_utils/3_remove_double_with_priority.py {root} --genres genres.txt",
        f"python3 datasets_utils/4_save_train_and_test.py {root} --split-by folder",
        f"python3 python/1-training.py {root} --network crnn --epochs 3 --batch-size 16 --seed 1 --fine-tune"
        " --keep best --learning-rate 0.01 --class-weights off --start-from models/best_model.h5",
        f"python3 results_utils/plot_loss_accuracy_curves.py {root}",
        f"python3 python/2-testing.py {root} --model models/other.h5 --batch-size 8",
        f"python3 python/2-testing.py {root} --split all",
        f"python3 python/3-format_dataset.py {root} --split all",
        f"python3 results_utils/manage_prediction.py {root}",
        f"python3 results_utils/make_report.py {root}",
    ]


def test_commands_leave_out_steps_that_were_not_run(tmp_path):
    artifacts = make_split(tmp_path)
    make_results(artifacts)
    scripts = [line.split()[1] for line in commands_of(write_report(artifacts))]
    assert [Path(script).name for script in scripts] == [
        "1_generate_spectrograms.py", "4_save_train_and_test.py", "2-testing.py", "manage_prediction.py",
        "make_report.py",
    ]  # fmt: skip


def test_given_options_are_those_that_differ_from_the_defaults(tmp_path):
    def script(*, model=None, epochs=20):
        pass

    for options, expected in (
        ({"model": None, "epochs": 20}, {}),
        ({"model": REPOSITORY / "models/best_model.h5", "epochs": 3}, {"model": "models/best_model.h5", "epochs": 3}),
        ({"model": tmp_path / "m.h5"}, {"model": f"{tmp_path}/m.h5"}),
    ):
        assert commands.given_options(script, **options) == expected


def test_report_takes_its_numbers_from_metrics_json(tmp_path):
    artifacts = make_split(tmp_path)
    make_results(artifacts)
    with pytest.raises(PipelineError, match=r"metrics\.json does not exist. Run results_utils/manage_prediction\.py"):
        make_report(["--root", str(artifacts.root)])
    write_report(artifacts)
    found = json.loads(artifacts.metrics.read_text())
    artifacts.metrics.write_text(json.dumps({**found, "matthews": 0.98765}))
    with pytest.raises(PipelineError, match=r"metrics\.json was changed after it was written.*again"):
        make_report(["--root", str(artifacts.root)])
    test_set = results.read(artifacts)
    measurement.write(artifacts, test_set, {**measurement.measure(test_set), "matthews": 0.98765})
    make_report(["--root", str(artifacts.root)])
    assert ">0.988<" in (artifacts.results / "report.html").read_text(encoding="utf-8")
    artifacts.split("train").write_text("".join(artifacts.split("train").read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(PipelineError, match=r"metrics\.json does not match prediction\.npy and the split.*again"):
        make_report(["--root", str(artifacts.root)])
    write_report(artifacts)
    make_results(artifacts, seed=2)
    with pytest.raises(PipelineError, match=r"metrics\.json does not match"):
        make_report(["--root", str(artifacts.root)])


def test_map_and_taggrams_are_in_the_report(tmp_path):
    artifacts = make_split(tmp_path)
    make_results(artifacts)
    text = write_report(artifacts)
    assert "There is no map of these results" in text and "There are no spectrograms" in text
    make_spectrograms(artifacts, frames=(200, 600))
    load_script("results_utils/plot_style_space.py").main(["--root", str(artifacts.root)])
    text = write_report(artifacts)
    assert text.count('alt="Probability of tags over the time of') == 3 and 'alt="Map of the features' in text
    assert "python3 results_utils/plot_style_space.py" in text
    for name in results.read_clips(artifacts, "test")["spectrogram"]:
        np.save(artifacts.spectrograms / name, np.zeros((2, 2), np.float16))
    assert "The tags could not be computed: " in write_report(artifacts)


def test_nothing_shared_is_said_once(tmp_path):
    artifacts = make_split(tmp_path, clips_per_class=(3, 1, 1))
    make_results(artifacts)
    text = write_report(artifacts)
    assert "No test clip is of a song that is also in the training set; 100.0% are of an artist that is." in text
    assert "songs not in train" not in text and "0.0% are of a song" not in text
    shared = make_split(tmp_path / "shared")
    make_results(shared)
    assert "songs not in train" in write_report(shared)


def test_clips_that_the_front_end_has_heard(tmp_path):
    artifacts = make_split(tmp_path, artist="joram-moments_of_clarity-08-solipsism")
    make_results(artifacts, network={"front_end": {"pretrained": True}})
    text = write_report(artifacts)
    assert "<td>front_end</td><td>pretrained: True</td>" in text
    assert "its own training (folders 0-c of MagnaTagATune): 9 (75.0%)." in text
    assert ">not heard by the front end</th>" in text
    make_results(artifacts)
    text = write_report(artifacts)
    assert "front end" not in text


def test_date_and_version(tmp_path):
    artifacts = make_split(tmp_path)
    make_results(artifacts, date="2026-02-03")
    text = write_report(artifacts)
    assert f"Tested on 2026-02-03, reported by MusicFeaturization {version('music_featurization')}." in text
    assert f"<td>music_featurization</td><td>{version('music_featurization')}</td>" in text
    make_results(artifacts)
    os.utime(artifacts.prediction, (0, 1e9))
    assert re.search(r"Tested on 2001-09-0[89],", write_report(artifacts))


# In a real browser.


@pytest.fixture
def server(report):
    """The root folder over http, as when a report is put on a server."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(report.root))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as started:
        threading.Thread(target=started.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{started.server_address[1]}"
        started.shutdown()


PICTURES = "() => [...document.images].map(image => image.complete && image.naturalWidth > 100)"
DURATIONS = """() => Promise.all([...document.querySelectorAll("audio")].map(audio => new Promise(done => {
    audio.onloadedmetadata = () => done(audio.duration);
    audio.onerror = () => done(audio.error.message);
    audio.preload = "metadata";
    audio.load();
})))"""


@pytest.mark.parametrize("over", ["file", "http"])
def test_browser_shows_pictures_and_plays_recordings(report, browser, server, over):
    page = browser.new_page()
    complaints, requested = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: requested.append(request.url))
    base = report.root.as_uri() if over == "file" else server
    page.goto(f"{base}/results/report.html")
    assert page.evaluate(PICTURES) == [True] * 3
    players = page.locator("audio").count()
    durations = page.evaluate(DURATIONS)
    assert len(durations) == players > 0
    assert durations == pytest.approx([1] * players, abs=0.2)
    assert page.locator(".missing").count() == 10 - players > 0
    assert NASTY in page.locator("body").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert complaints == []
    assert all(url.startswith((base, "data:")) for url in requested)
    page.close()


@pytest.mark.parametrize("width", [320, 390])
def test_page_fits_a_phone(report, browser, width):
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{report.root.as_uri()}/results/report.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Only tables scroll.
    wide = """[...document.querySelectorAll("body *")].filter(element => element.scrollWidth > element.clientWidth + 1
        && ["auto", "scroll"].includes(getComputedStyle(element).overflowX)).map(element => element.tagName)"""
    assert set(page.evaluate(wide)) == {"DIV"}
    page.close()
