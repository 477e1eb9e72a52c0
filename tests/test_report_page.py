"""results/report.html: its content, and how a real browser shows it."""

import functools
import http.server
import json
import os
import platform
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
from tiny_pipeline import call_script, refused
from tiny_results import HOSTILE_ARTIST, HOSTILE_GENRES, make_results, make_spectrograms, make_split

from music_featurization.artifacts import (
    FORMAT,
    MAP,
    PREDICTION,
    PROVIDED_MODEL,
    REPORT,
    REPOSITORY,
    Artifacts,
    fingerprint,
)
from music_featurization.dataset.genres import GENRES
from music_featurization.evaluation import commands, measurement, results
from music_featurization.network import recipe
from music_featurization.style_space import style_map


@pytest.fixture
def artifacts(tmp_path):
    artifacts = make_split(tmp_path)
    make_results(artifacts)
    return artifacts


def write_report(artifacts):
    call_script(PREDICTION, artifacts)
    call_script(REPORT, artifacts)
    return artifacts.report_page.read_text(encoding="utf-8")


def test_names_are_escaped_and_nothing_points_outside(hostile):
    text = hostile.report_page.read_text(encoding="utf-8")
    assert "<script" not in text and "<i>" not in text and "<img src=x" not in text
    assert "<td>note</td><td>&lt;i&gt;</td>" in text
    for name in (HOSTILE_GENRES[0], HOSTILE_ARTIST.format(genre=HOSTILE_GENRES[0])):
        assert str(markupsafe.escape(name)) in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    players = [source for source in sources if not source.startswith("data:")]
    assert not re.search(r"url\(|@import|https?://", re.sub(r'"data:[^"]*"', "", text))
    assert players and all(source.startswith("../datasets/mp3_files/") for source in players)
    files = [Path(os.path.normpath(hostile.results / unquote(source))) for source in players]
    assert all(file.is_file() for file in files) and len(set(files)) == len(files)
    assert len(players) + text.count("recording missing") == 10


def test_data_set_is_counted_and_what_is_missing_is_said(artifacts):
    text = write_report(artifacts)
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]
    # The three train clips of a genre are of one song; the two of test of two.
    assert ["opera", "3", "1", "1", "1", "1", "1", "2", "2", "1"] in rows
    assert ["all", "18", "6", "6", "6", "6", "6", "12", "12", "6"] in rows
    assert "50.0% are of a song that is also in the training set, 100.0% of an artist" in text
    assert "songs not in train" in text and "front end" not in text
    for missing in ("no history of the training", "no map of these results", "no spectrograms"):
        assert missing in text


def test_most_confused_come_first(tmp_path):
    artifacts = make_split(tmp_path)
    probabilities = make_results(artifacts, seed=5)
    text = write_report(artifacts)
    shown = re.findall(r"</bdi>&nbsp;(\d+)%</td>", text[text.index("Most confused") :])
    leads = [int(predicted) - int(true) for true, predicted in zip(shown[::2], shown[1::2], strict=True)]
    truth = results.read_clips(artifacts, "test")["label"].to_numpy()
    assert len(leads) == (np.load(artifacts.prediction) != truth).sum() > 2
    assert all(first >= second - 1 for first, second in pairwise(leads))  # 1: rounding
    lead = probabilities.max(axis=1) - probabilities[np.arange(len(truth)), truth]
    assert leads[0] == pytest.approx(100 * lead.max(), abs=1.01)


def test_nothing_confused_and_a_genre_without_clips(artifacts):
    table = results.read_clips(artifacts, "test")
    table[table["genre"] != "opera"].to_csv(artifacts.split("test"), index=False)
    make_results(artifacts)
    perfect = np.eye(6, dtype=np.float32)[results.read_clips(artifacts, "test")["label"]]
    np.save(artifacts.probabilities, perfect)
    np.save(artifacts.prediction, perfect.argmax(axis=1))
    text = write_report(artifacts)
    assert "No test clip is classified wrongly." in text and "No test clip: opera" in text


def test_results_of_other_origin_without_a_split(artifacts, tmp_path):
    alone = Artifacts(tmp_path / "alone")
    alone.results.mkdir(parents=True)
    for path in (artifacts.prediction, artifacts.probabilities, artifacts.test_features):
        shutil.copy(path, alone.results)
    text = write_report(alone)
    assert "There is no split beside these results" in text and "<audio" not in text


def commands_of(text):
    return unescape(re.search(r"<pre>(.*?)</pre>", text, re.DOTALL)[1]).splitlines()


def test_commands_of_every_step_have_the_options_that_were_given(tmp_path):
    """Records as the steps write them; a name with a comma needs a file."""
    artifacts = make_split(tmp_path / "a b")
    make_results(artifacts, options={"model": "models/other.h5", "batch_size": 8})
    make_results(artifacts, part="all", options={"split": "all"})
    call_script(FORMAT, artifacts, "--split", "all")
    priority = ["rock, live", "jazz"]
    records = {
        artifacts.tagged: {"merge_synonyms": True, "genres_from_folders": False},
        artifacts.genres: {"genres": priority, "priority": priority},
        artifacts.split_settings: {"genres": list(GENRES), "group_by": None, "split_by": "folder", "split_from": None},
        artifacts.demo_manifest: {"pieces": 60, "seed": 3, "soundfonts": ["TimGM6mb.sf2 12ab", "my font.sf2 34cd"]},
    }
    for path, settings in records.items():
        path.touch()
        path.with_suffix(".json").write_text(json.dumps({"settings": settings, "inputs": "0"}))
    artifacts.models.mkdir()
    trained = {"network": "crnn", "epochs": 3, "seed": 1, "weights": "pretrained", "fine_tune": True, "keep": "best"}
    recipe_of_run = {**recipe.RECIPES["crnn"], "learning_rate": 0.01, "class_weights": False}
    trained |= recipe_of_run | {"start_from": fingerprint(PROVIDED_MODEL), "split": "0", "front_end": {}}
    artifacts.training_settings.write_text(json.dumps({"settings": trained}))
    call_script(MAP, artifacts)
    stored = style_map.files(artifacts).map
    with np.load(stored) as arrays:  # as if made by UMAP, which is not installed
        made_from = str(arrays["made_from"]).replace("tsne", "umap")
        np.savez(stored, points=arrays["points"], made_from=made_from)
    root = f"--root '{artifacts.root}'"
    assert commands_of(write_report(artifacts)) == [
        f"python3 datasets_utils/0_make_demo_dataset.py {root} --pieces 60 --seed 3"
        " --soundfont TimGM6mb.sf2 'my font.sf2'",
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
        f"python3 results_utils/plot_style_space.py {root} --method umap",
        f"python3 results_utils/make_report.py {root}",
    ]


def test_commands_leave_out_steps_that_were_not_run(artifacts):
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


def test_report_takes_its_numbers_from_metrics_json(artifacts):
    message = refused(REPORT, artifacts)
    assert "metrics.json does not exist. Run results_utils/manage_prediction.py" in message
    write_report(artifacts)
    recorded = json.loads(artifacts.metrics.read_text())
    artifacts.metrics.write_text(json.dumps({**recorded, "matthews": 0.98765}))
    assert "metrics.json was changed after it was written" in refused(REPORT, artifacts)
    test_set = results.read(artifacts)
    measurement.write(artifacts, test_set, {**measurement.measure(test_set), "matthews": 0.98765})
    call_script(REPORT, artifacts)
    assert ">0.988<" in artifacts.report_page.read_text(encoding="utf-8")
    artifacts.split("train").write_text("".join(artifacts.split("train").read_text().splitlines(keepends=True)[:-1]))
    assert "metrics.json does not match prediction.npy and the split" in refused(REPORT, artifacts)
    write_report(artifacts)
    make_results(artifacts, seed=2)
    assert "metrics.json does not match" in refused(REPORT, artifacts)


def test_map_and_taggrams_are_in_the_report(artifacts):
    make_spectrograms(artifacts, frames=(200, 600))
    call_script(MAP, artifacts)
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


def test_clips_that_the_front_end_has_heard(tmp_path):
    artifacts = make_split(tmp_path, artist="joram-moments_of_clarity-08-solipsism")
    make_results(artifacts, network={"front_end": {"pretrained": True}})
    text = write_report(artifacts)
    assert "<td>front end</td><td>pre-trained</td>" in text
    assert "its own training (folders 0-c of MagnaTagATune): 9 (75.0%)." in text
    assert ">not heard by the front end</th>" in text


def test_date_and_version(artifacts):
    os.utime(artifacts.prediction, (0, 1e9))  # without a date in the record, the file's
    assert re.search(r"Tested on 2001-09-0[89],", write_report(artifacts))
    make_results(artifacts, date="2026-02-03")
    text = write_report(artifacts)
    assert f"Tested on 2026-02-03, reported by MusicFeaturization {version('music_featurization')}." in text


def test_settings_are_readable_and_each_package_has_one_row(artifacts):
    front_end = {"pretrained": True, "fine_tuned": False, "file": "0f", "heard": "songs"}
    used = {"keras": "3.0", "music_featurization": "1.9", "python": "3.9.1", "backend": "torch"}
    network = {"early_stop": 0, "class_weights": True, "fine_tune": False, "front_end": front_end, "versions": used}
    make_results(artifacts, network=network)
    artifacts.models.mkdir()
    artifacts.training_settings.write_text(json.dumps({"settings": {}, "versions": {"keras": "of another run"}}))
    text = write_report(artifacts)
    text, versions = text[text.index("<h2>Settings") :].split("<h2>Versions")
    settings = dict(re.findall("<td>(.*?)</td><td>(.*?)</td>", text))
    expected = {
        "early stop": "never", "class weights": "on", "fine-tuning": "off", "backend": "torch",
        "front end": "pre-trained, not fine-tuned, fingerprint: 0f, trained on: songs", "FFT size": "512",
        "group by": "–",
    }  # fmt: skip
    assert settings.items() >= expected.items() and settings.keys().isdisjoint({"versions", "keras", "python"})
    rows = re.findall("<td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>", versions)
    by_package = {package: (training, report) for package, training, report in rows}
    assert len(by_package) == len(rows) and "backend" not in by_package
    assert by_package["music_featurization"] == ("1.9", version("music_featurization"))
    assert by_package["python"] == ("3.9.1", platform.python_version())
    assert by_package["keras"] == ("3.0", version("keras")) and by_package["numpy"] == ("–", version("numpy"))


# In a real browser.


@pytest.fixture
def server(hostile):
    """The root folder over http, as when a report is put on a server."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(hostile.root))
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
def test_browser_shows_pictures_and_plays_recordings(hostile, open_page, server, over):
    base = hostile.root.as_uri() if over == "file" else server
    page = open_page(f"{base}/results/report.html")
    assert page.evaluate(PICTURES) == [True] * 4
    players = page.locator("audio").count()
    assert page.evaluate(DURATIONS) == pytest.approx([1] * players, abs=0.2) and players > 0
    assert page.locator(".missing").count() == 10 - players > 0
    assert HOSTILE_ARTIST.format(genre=HOSTILE_GENRES[0]) in page.locator("body").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("width", [320, 390])
def test_page_fits_a_phone(hostile, open_page, width):
    page = open_page(hostile.report_page.as_uri())
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Only tables, pictures and commands scroll.
    wide = """[...document.querySelectorAll("body *")].filter(element => element.scrollWidth > element.clientWidth + 1
        && ["auto", "scroll"].includes(getComputedStyle(element).overflowX)).map(element => element.className)"""
    assert set(page.evaluate(wide)) == {"scroll"}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_phone_shows_whole_pictures_and_enlarges_one_on_a_tap(hostile, open_page, theme):
    page = open_page(hostile.report_page.as_uri())
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme=theme)
    pictures, boxes = page.locator("img"), page.locator("input.enlarge")
    widths = "() => [...document.images].map(image => [image.getBoundingClientRect().right, image.width])"
    whole = page.evaluate(widths)
    assert len(whole) == boxes.count() == 4 and all(right <= 390 and width > 300 for right, width in whole)
    pictures.first.click()
    full_width = pictures.first.evaluate("image => image.naturalWidth")
    assert page.evaluate(widths)[0][1] == full_width > 1.3 * whole[0][1]
    assert page.evaluate(widths)[1:] == whole[1:]
    boxes.first.press("Space")  # by keyboard as well
    assert page.evaluate(widths) == whole
    page.set_viewport_size({"width": 1300, "height": 850})
    assert not boxes.first.is_visible()
