"""The map of the style space, its page in a real browser, and walks on it."""

import csv
import json
import os
import re
import shutil
import sys
import unicodedata
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from tiny_pipeline import call_script, refused
from tiny_results import (
    HOSTILE_ARTIST,
    HOSTILE_GENRES,
    make_results,
    make_split,
    make_track_table,
    write_recordings,
)

from music_featurization import templates
from music_featurization.artifacts import MAP, PREDICTION, REPORT, WALK, Artifacts, PipelineError
from music_featurization.evaluation import results
from music_featurization.feature_tables import feature_table
from music_featurization.style_space import page as style_space_page
from music_featurization.style_space import style_map
from music_featurization.style_space import walk as style_walk


def make_space(root, classes=("jazz", "rock"), clips=8, artist="a"):
    artifacts = make_split(root, classes, clips_per_class=(2, 1, clips), artist=artist)
    make_results(artifacts, classes=classes)
    return artifacts


def read_page(artifacts):
    return artifacts.style_space_page.read_text(encoding="utf-8")


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


# The map


def test_page_contains_every_clip(hostile):
    data = data_of(read_page(hostile))
    clips, truth = data["clips"], results.read_clips(hostile, "test")
    assert [genre["name"] for genre in data["genres"]] == list(HOSTILE_GENRES)
    assert [data["genres"][number]["name"] for number in clips["genre"]] == truth["genre"].tolist()
    assert clips["predicted"] == [HOSTILE_GENRES[label] for label in np.load(hostile.prediction)]
    assert clips["label"][0] == f"{HOSTILE_ARTIST.split('-')[0]} · new test · 1:59"
    players = [url for url in clips["src"] if url]
    assert len(players) == len(truth) / 2 == sum(map(bool, clips["missing"]))
    assert all(url.startswith("../datasets/mp3_files/") for url in players)
    assert all((hostile.results / unquote(url)).is_file() for url in players)
    for number, genre in enumerate(data["genres"]):
        assert clips["genre"][genre["centre"]] == number


def test_names_do_nothing_in_page_and_picture(hostile):
    page = read_page(hostile)
    outside = page.replace(style_space_page._plotly(), "")
    assert outside.count("<script") == outside.count("</script>") == 3
    assert "alert(1)<b>" not in outside and "onerror=alert" in json.dumps(data_of(page))
    assert not re.search(r"(src|href)=\"(?!data:)", outside)
    picture = style_map.files(hostile).picture.read_text(encoding="utf-8")
    assert "onerror=alert(1)>" not in re.sub(r"<!--.*?-->", "", picture, flags=re.DOTALL)
    assert "rock &amp; roll (30)" in picture


@given(st.text())
def test_any_text_survives_in_a_script(text):
    inside = templates._environment().from_string("{{ data | tojson }}").render(data={"name": text})
    assert "<" not in inside and json.loads(inside) == {"name": text}


def test_map_is_made_once_and_the_same_again(hostile, capsys):
    files = style_map.files(hostile)
    before = [path.read_bytes() for path in files]
    for options, message in ((), "drawing the map computed before"), (("--overwrite",), "computing the map"):
        call_script(MAP, hostile, *options)
        assert message in capsys.readouterr().out
        assert [path.read_bytes() for path in files] == before


def test_map_keeps_groups_together():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 30)
    features = rng.normal(size=(3, 512))[group] + 0.1 * rng.normal(size=(90, 512))
    points = style_map.embed(style_map.pca(features.astype(np.float32)))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (group[distances.argmin(axis=1)] == group).all()


def test_few_clips():
    rng = np.random.default_rng(0)
    assert style_map.embed(style_map.pca(rng.normal(size=(4, 512)))).shape == (4, 2)
    for features, message in ((rng.normal(size=(3, 512)), "at least 4"), (np.ones((9, 512)), "same features")):
        with pytest.raises(PipelineError, match=message):
            style_map.embed(style_map.pca(features))


def test_umap_that_is_not_installed(hostile, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    assert "pip install umap-learn" in refused(MAP, hostile, "--method", "umap")


def test_csv_alone_gives_the_same_clips(hostile, tmp_path):
    clips, features = style_map.read(hostile, hostile.test_features)
    from_arrays, same = style_map.read(hostile)
    assert results.newest_table(hostile).suffix == ".npz"
    assert (features == same).all() and clips.drop(columns="recording").equals(from_arrays.drop(columns="recording"))
    alone = Artifacts(tmp_path)
    alone.results.mkdir()
    for path in (hostile.test_features, hostile.testing_record, hostile.prediction):
        shutil.copy(path, alone.results)
    assert results.newest_table(alone) == alone.test_features
    without_split, _ = style_map.read(alone)
    assert (without_split["recording"] == "").all() and (without_split["predicted"] == clips["predicted"]).all()


def test_newer_csv_goes_before_older_arrays(tmp_path):
    artifacts = make_space(tmp_path, clips=2)
    os.utime(artifacts.test_features.with_suffix(".npz"), (1e9, 1e9))
    assert results.newest_table(artifacts) == artifacts.test_features


def test_features_of_another_network_than_the_predictions_are_refused(tmp_path):
    artifacts = make_space(tmp_path, clips=3)
    record = json.loads(artifacts.testing_record.read_text())
    artifacts.testing_record.write_text(json.dumps({**record, "model": "another"}))
    for script, args in ((MAP, ()), (WALK, ("jazz", "rock"))):
        message = refused(script, artifacts, *args)
        assert "different runs" in message and "another" in message and "2-testing.py --overwrite" in message


def test_map_by_another_method_is_used_by_walk_and_report(tmp_path, monkeypatch):
    """A stand-in for UMAP, which is not among the required packages."""
    monkeypatch.setattr(style_map, "_umap", lambda reduced: reduced[:, :2].astype(np.float32))
    artifacts = make_space(tmp_path)
    call_script(MAP, artifacts, "--method", "umap")
    map_file = style_map.files(artifacts).map
    before = map_file.read_bytes()
    for script, *args in ((WALK, "jazz", "rock"), (PREDICTION,), (REPORT,)):
        call_script(script, artifacts, *args)
    assert map_file.read_bytes() == before
    assert "Map of the features" in artifacts.report_page.read_text(encoding="utf-8")
    assert style_map.read_map(map_file, style_map.read(artifacts)[1], "tsne") is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY"])
def test_damaged_map_is_not_used(content, tmp_path):
    features = np.random.default_rng(0).normal(size=(6, 512)).astype(np.float32)
    (tmp_path / "map.npz").write_bytes(content)
    assert style_map.read_map(tmp_path / "map.npz", features) is None
    points = style_map.make_map(tmp_path / "map.npz", features)
    assert (style_map.read_map(tmp_path / "map.npz", features) == points).all()
    assert style_map.read_map(tmp_path / "map.npz", features * 2) is None  # other features


def test_own_tracks_are_a_space_too(tmp_path):
    (tmp_path / "b c.mp3").touch()
    paths = [str(tmp_path / name) for name in ("b c.mp3", "d-e-0-29.mp3", "f.mp3", "g.mp3", "h.mp3")]
    feature_table.write(tmp_path / "own.csv", make_track_table(paths, tmp_path, 512, ("x", "y")))
    clips, features = style_map.read(Artifacts(tmp_path), tmp_path / "own.csv")
    assert features.shape == (5, 512) and clips["predicted"].tolist() == clips["genre"].tolist()
    assert clips["recording"].tolist() == paths
    assert clips["label"].tolist() == ["b c", "d-e · 0:00", "f", "g", "h"]
    call_script(MAP, tmp_path, "--features", tmp_path / "own.csv")
    clips = data_of(read_page(Artifacts(tmp_path)))["clips"]
    assert clips["src"] == ["../b%20c.mp3", "", "", "", ""] and clips["missing"] == ["", *paths[1:]]


# The walk


def read_walk(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_walk_from_genre_to_genre(tmp_path, capsys):
    artifacts = make_space(tmp_path, classes=("jazz", "rock", "folk & co"), artist="{genre}, the\nband")
    call_script(WALK, artifacts, "jazz", "folk & co")
    files = [artifacts.results / f"walk_jazz_folk_co.{kind}" for kind in ("csv", "svg")]
    rows, picture = read_walk(files[0]), files[1].read_bytes()
    assert [int(row["waypoint"]) for row in rows] == list(range(52))
    assert (rows[0]["genre"], rows[-1]["genre"]) == ("jazz", "folk & co")
    assert [float(rows[end][column]) for end in (0, -1) for column in ("distance", "line_distance")] == [0] * 4
    clips, features = style_map.read(artifacts)
    genres = dict(zip(clips["name"], clips["genre"], strict=True))
    assert all(genres[row[f"{kind}clip"]] == row[f"{kind}genre"] for row in rows for kind in ("", "line_"))
    centre = style_map.centroid_clips(clips, style_map.pca(features), ["jazz"])["jazz"]
    assert clips["name"][centre] == rows[0]["clip"]
    assert "genres by waypoint: jazz" in capsys.readouterr().out
    assert b"principal path" in picture and b"straight line" in picture


def test_walk_follows_the_music_where_the_straight_line_leaves_it():
    rng = np.random.default_rng(3)
    angle = np.linspace(0, np.pi, 150)
    arc = np.stack([np.cos(angle), np.sin(angle), np.zeros(150)], axis=1) + rng.normal(0, 0.02, (150, 3))
    (rows, distances), (line_rows, line_distances) = style_walk.walk(arc, 0, 149)
    assert (np.diff(rows) > -8).all() and len(set(rows)) > 40  # along the arc, not to and fro
    assert distances.max() < 0.1 < 0.5 < line_distances.max()
    assert set(line_rows) != set(rows)


def test_playlist_plays_or_is_removed(tmp_path, capsys):
    artifacts = make_space(tmp_path, clips=12, artist="#é Dr. {genre}")
    write_recordings(artifacts, every=1)
    call_script(WALK, artifacts, "jazz", "rock")
    playlist = artifacts.results / "walk_jazz_rock.m3u8"
    lines = playlist.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#EXTM3U"
    for information, path in zip(lines[1::2], lines[2::2], strict=True):
        assert re.fullmatch(r"#EXTINF:29,#é Dr. (jazz|rock) - .+", information)
        assert not path.startswith("#") and soundfile.info(artifacts.results / path).duration > 0.9
    walked = [Path(row["clip"]).name.partition("_")[2] for row in read_walk(playlist.with_suffix(".csv"))]
    collapsed = [name for name, before in zip(walked, [None, *walked], strict=False) if name != before]
    assert [Path(path).stem for path in lines[2::2]] == collapsed
    shutil.rmtree(artifacts.mp3_files)
    call_script(WALK, artifacts, "jazz", "rock")
    assert not playlist.exists() and "no playlist" in capsys.readouterr().out


def test_names_that_no_playlist_can_contain_are_left_out(tmp_path):
    paths = [str(tmp_path / name) for name in ("#a.mp3", "b\nc.mp3", "d.mp3", "e\udcff.mp3")]
    for path in paths:
        Path(path).touch()
    clips = pandas.DataFrame({"recording": pandas.Series([*paths, ""], dtype=object), "name": "n", "label": "x\ny · z"})
    text, played, missing = style_walk.playlist(clips, [0, 0, 1, 2, 3, 4, 0], tmp_path)
    assert text == "#EXTM3U\n" + "".join(f"#EXTINF:-1,x y - z\n{path}\n" for path in ("./#a.mp3", "d.mp3", "./#a.mp3"))
    assert (played, missing) == (3, 3)


def test_genre_with_one_clip_and_a_walk_between_clips(tmp_path):
    artifacts = make_space(tmp_path)
    table = results.read_clips(artifacts, "test")
    only = table[(table["genre"] == "rock") | (table.index == 0)]
    only.to_csv(artifacts.split("test"), index=False)
    make_results(artifacts, classes=("jazz", "rock"))
    call_script(MAP, artifacts)
    first, last = only["clip_id"].iloc[0], only["clip_id"].iloc[-1]
    call_script(WALK, artifacts, "jazz", last)
    rows = read_walk(artifacts.results / f"walk_jazz_{last}.csv")
    assert rows[0]["clip"].startswith(f"{first}_") and rows[-1]["clip"].startswith(f"{last}_")
    assert "same clip" in refused(WALK, artifacts, "jazz", first)


def test_end_with_time_steps_is_the_one_nearest_to_their_centroid():
    clips = pandas.DataFrame({"name": [*["a.mp3"] * 3, "b.mp3"], "genre": "rock", "recording": ""})
    reduced = np.array([[0.0], [3.0], [5.0], [9.0]])
    assert style_walk.find_end("a.mp3", clips, reduced, ["rock"]) == 1
    with pytest.raises(PipelineError, match="fits 4 clips"):
        style_walk.find_end("mp3", clips, reduced, ["rock"])


@pytest.mark.parametrize("typed", ["Forró, ao vivo", "FORRO\u0301,_ao_vivo", "ride of the Valkyries", "2", "2_b-Ride"])
def test_genre_and_clip_are_found_as_a_person_types_them(typed):
    genres = ["forro", "forró,_ao_vivo", "jazz"]
    clips = pandas.DataFrame({"name": ["1_a-2", "2_b-ride_of_the_valkyries-0-29", "22_c"], "genre": genres})
    assert style_walk.find_end(typed, clips.assign(recording=""), np.eye(3), genres) == 1


def test_ends_that_are_no_ends(hostile):
    genre = HOSTILE_GENRES[2]
    assert "same clip" in refused(WALK, hostile, genre, genre)
    message = refused(WALK, hostile, "rack & rolls", HOSTILE_GENRES[0])
    assert "Did you mean rock & roll?" in message and HOSTILE_GENRES[1] in message
    message = refused(WALK, hostile, "rock & rol", genre)  # is in the names of clips as well
    assert "fits 30 clips" in message and "Did you mean rock & roll?" in message
    with pytest.raises(PipelineError, match="same features"):
        style_walk.walk(np.zeros((3, 2)), 0, 1)


def test_walk_says_what_its_distance_means_and_when_it_is_no_better():
    clips = pandas.DataFrame({"genre": ["a", "b"]})
    near, far = (style_walk.Walk(np.array([0, 0, 1]), np.array([0, inner, 0])) for inner in (1.0, 2.0))
    better, worse = style_walk.summary(clips, near, far), style_walk.summary(clips, far, near)
    assert "mean distance 1.00; genres by waypoint: a 2, b 1" in better and "to its nearest clip" in better
    assert "no closer" not in better and "no closer to the music than the straight line" in worse


def test_names_of_files_are_harmless():
    assert style_walk.file_name("../../a b", "x" * 300) == f"walk_.._.._a_b_{'x' * 100}"
    assert len(style_walk.file_name("古" * 100, "ب" * 100).encode()) < 230  # 255 is the most, with .m3u8


# In a real browser.


@pytest.fixture
def page(hostile, open_page):
    page = open_page(hostile.style_space_page.as_uri())
    page.wait_for_selector("body[data-ready]")
    return page


PLACE = """i => {
    const map = document.getElementById("map"), layout = map._fullLayout, corner = map.getBoundingClientRect();
    return [corner.left + layout.xaxis._offset + layout.xaxis.l2p(clips.x[i]),
            corner.top + layout.yaxis._offset + layout.yaxis.l2p(clips.y[i])];
}"""


# Resolves when the clip, of a second, has been played to its end.
PLAYED = """() => new Promise(done => {
    if (player.ended) done(player.currentTime);
    player.onended = () => done(player.currentTime);
})"""


def click_a_clip(page, hostile, *, has_recording):
    """Click the clip that is furthest from all others on the map; return its data by name."""
    clips = data_of(read_page(hostile))["clips"]
    points = np.stack([clips["x"], clips["y"]], axis=1)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    candidates = [clip for clip, url in enumerate(clips["src"]) if bool(url) == has_recording]
    clip = max(candidates, key=lambda clip: distances[clip].min())
    x, y = page.evaluate(PLACE, clip)
    page.mouse.move(x - 2, y - 2)
    page.mouse.move(x, y)
    page.wait_for_selector(".hoverlayer .hovertext")
    page.mouse.click(x, y)
    return {name: values[clip] for name, values in clips.items()}


def test_click_plays_the_clip(page, hostile):
    clip = click_a_clip(page, hostile, has_recording=True)
    page.wait_for_selector("#player:not([hidden])")
    assert page.locator("#player").get_attribute("src") == clip["src"]
    assert page.evaluate(PLAYED) == pytest.approx(1, abs=0.2)
    text, hover = page.locator("#clip").inner_text(), page.locator(".hoverlayer").text_content()
    assert clip["label"] in text and clip["predicted"] in text
    assert all(clip[name] in hover for name in ("label", "name", "predicted"))


def test_click_on_a_clip_without_recording_shows_it_as_missing(page, hostile):
    clip = click_a_clip(page, hostile, has_recording=False)
    page.wait_for_selector("#missing:not([hidden])")
    assert clip["missing"] in page.locator("#missing").inner_text()
    assert not page.locator("#player").is_visible()


def test_recording_that_cannot_be_played_is_named(tmp_path, open_page):
    """It is no music, its name contains what a URL escapes, and that of its folder is not UTF-8."""
    recording = tmp_path / "\udcff/100% #.mp3"
    recording.parent.mkdir()
    recording.write_bytes(b"no music" * 99)
    clips = pandas.DataFrame({"name": [recording.name], "label": "x", "artist": "x", "genre": "rock", "predicted": ""})
    clips["recording"] = pandas.Series([str(recording)], dtype=object)
    folder = tmp_path / "results"
    folder.mkdir()
    text = style_space_page.render(clips, np.zeros((1, 2)), ["rock"], {"rock": 0}, "", folder)
    (folder / "page.html").write_text(text, encoding="utf-8")
    page = open_page((folder / "page.html").as_uri())
    page.wait_for_selector("body[data-ready]")
    page.fill("#search", "x")
    page.locator("#found button").click()
    page.wait_for_selector("#missing:not([hidden])")
    assert page.locator("#missing").inner_text() == "recording cannot be played: 100% #.mp3"


def test_genres_are_filtered_by_the_boxes(page):
    shown = "() => map.data.slice(0, 3).map(trace => trace.visible !== false)"
    boxes = page.locator("#genres input")
    assert [label.split("\n")[0] for label in page.locator("#genres label").all_inner_texts()] == list(HOSTILE_GENRES)
    boxes.nth(1).uncheck()
    assert page.evaluate(shown) == [True, False, True]
    page.get_by_role("button", name="all", exact=True).click()
    assert page.evaluate(shown) == [True, True, True]


def test_search_by_artist(page):
    page.fill("#search", "ROCK & roll")
    page.wait_for_selector("#hits:not(:empty)")
    assert page.locator("#hits").inner_text() == "30 clips of 1 artist"
    assert page.evaluate("() => map.data.slice(0, 6).map(trace => trace.selectedpoints.length)") == [0, 0, 30, 0, 0, 1]
    buttons = page.locator("#found button")
    assert buttons.count() == 30
    buttons.nth(0).press("Enter")  # by keyboard as well
    page.wait_for_selector("#player:not([hidden]), #missing:not([hidden])")
    page.fill("#search", unicodedata.normalize("NFD", "É, rock"))  # in the names as one character
    page.wait_for_selector("#hits:text('30 clips of 1 artist')")
    page.fill("#search", "nothing")
    page.wait_for_selector("#hits:text('0 clips')")
    page.fill("#search", "")
    page.wait_for_selector("#hits:empty", state="attached")
    assert page.evaluate("() => map.data[0].selectedpoints ?? null") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_map_stays_whole_on_a_phone_while_searching_and_playing(page, hostile, theme):
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme=theme)
    places = "() => ['map', 'search', 'found', 'clip'].map(id => document.getElementById(id).getBoundingClientRect())"
    page.wait_for_function("() => map._fullLayout.width === map.clientWidth && map.clientWidth <= 390")
    before, ranges = page.evaluate(places), page.evaluate("() => map._fullLayout.xaxis.range")
    page.fill("#search", "o")
    page.wait_for_selector("#found button")
    page.locator("#found button").last.click()  # scrolls the list
    page.wait_for_selector("#player:not([hidden]), #missing:not([hidden])")
    after = page.evaluate(places)
    assert after[0] == before[0] and after[0]["height"] > 300 and after[2]["height"] > 400
    assert before[0]["bottom"] <= before[1]["top"] and after[0]["bottom"] < after[3]["top"]
    assert page.evaluate("() => map._fullLayout.xaxis.range") == ranges
    assert page.evaluate("() => [scrollY, document.documentElement.scrollHeight, innerHeight]") == [0, 800, 800]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_selection_can_be_removed(page):
    page.fill("#search", "rock & roll")
    page.wait_for_selector("#hits:not(:empty)")
    ring = "() => map.data[6].x.length"
    for remove in (
        lambda: page.keyboard.press("Escape"),
        lambda: page.locator("#close").click(),
        lambda: page.locator("#genres input").nth(2).uncheck(),
    ):
        page.locator("#found button").nth(0).click()
        assert page.evaluate(ring) == 1 and "rock & roll" in page.locator("#clip").get_attribute("title")
        remove()
        assert page.evaluate(ring) == 0 and not page.locator("#close").is_visible()


def test_eight_thousand_clips_are_usable(tmp_path, open_page):
    rng = np.random.default_rng(0)
    artifacts = Artifacts(tmp_path)
    artifacts.results.mkdir()
    points = rng.normal(size=(8000, 2)).astype(np.float32)
    names = [f"artist_{number % 300}-album-01-song-0-29.npy" for number in range(8000)]
    rows = pandas.DataFrame({"clip_id": range(8000), "spectrogram": names, "recording": "", "model": "m"})
    rows["genre"] = rng.choice(["x", "y"], 8000)
    table = feature_table.FeatureTable(rows, points, artifacts.mp3_files)
    feature_table.write(artifacts.test_features.with_suffix(".npz"), table)
    clips, _ = style_map.read(artifacts)
    text = style_space_page.render(clips, points, ["x", "y"], {"x": 0, "y": 1}, "", artifacts.results)
    assert len(text) < 7e6
    artifacts.style_space_page.write_text(text, encoding="utf-8")
    page = open_page(artifacts.style_space_page.as_uri())
    page.wait_for_selector("body[data-ready]")  # 3 s on an idle machine
    assert page.locator(".scatterlayer .point").count() >= 8000
    page.fill("#search", "artist 7")
    page.wait_for_selector("#hits:not(:empty)")
