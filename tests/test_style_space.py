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
from tiny_pipeline import load_script
from tiny_results import make_results, make_split, make_track_table

from music_featurization import templates
from music_featurization.artifacts import Artifacts, PipelineError
from music_featurization.evaluation import results
from music_featurization.feature_tables import feature_table
from music_featurization.style_space import page as style_space_page
from music_featurization.style_space import style_map
from music_featurization.style_space import walk as style_walk

plot = load_script("results_utils/plot_style_space.py").main
walk = load_script("results_utils/walk_style_space.py").main
NASTY = "<!--<script>alert(1)<b>&\"'#?%41 é, {genre}"  # of an artist: a file name can hold all of this but the slash
HOSTILE_GENRES = ("<img src=x onerror=alert(1)>", 'a"b, c', "rock & roll")


def make_music(artifacts, every=2):
    """Write a second of noise as mp3 for every second clip of the split."""
    rng = np.random.default_rng(1)
    for name in results.read_clips(artifacts, "test")["spectrogram"][::every]:
        path = artifacts.mp3_files / f"{name.removesuffix('.npy')}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(scale=0.1, size=16000), 16000, format="MP3")


def make_space(root, classes=HOSTILE_GENRES, clips=8, artist=NASTY):
    artifacts = make_split(root, classes, clips_per_class=(2, 1, clips), artist=artist)
    make_results(artifacts, classes=classes)
    make_music(artifacts)
    return artifacts


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """A small space of hostile names, with half of the recordings there, and its page."""
    artifacts = make_space(tmp_path_factory.mktemp("space"))
    plot(["--root", str(artifacts.root)])
    return artifacts


def refused(main, artifacts, *args):
    with pytest.raises(PipelineError) as error:
        main([*map(str, args), "--root", str(artifacts.root)])
    return str(error.value)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


# The map


def test_page_holds_every_clip(space):
    page = (space.results / "style_space.html").read_text(encoding="utf-8")
    data = data_of(page)
    clips, truth = data["clips"], results.read_clips(space, "test")
    assert [genre["name"] for genre in data["genres"]] == list(HOSTILE_GENRES)
    assert [data["genres"][number]["name"] for number in clips["genre"]] == truth["genre"].tolist()
    predicted = [HOSTILE_GENRES[label] for label in np.load(space.prediction)]
    assert clips["predicted"] == predicted
    assert clips["label"][0] == f"{NASTY.split('-')[0]} · new test · 1:50"
    players = [url for url in clips["src"] if url]
    assert len(players) == len(truth) / 2 == sum(bool(artifacts) for artifacts in clips["missing"])
    assert all(url.startswith("../datasets/mp3_files/") for url in players)
    assert all((space.results / unquote(url)).is_file() for url in players)
    for number, genre in enumerate(data["genres"]):
        assert clips["genre"][genre["centre"]] == number


def test_page_holds_nothing_that_a_name_could_start(space):
    page = (space.results / "style_space.html").read_text(encoding="utf-8")
    outside = page.replace(style_space_page._plotly(), "")
    assert outside.count("<script") == outside.count("</script>") == 3
    assert "alert(1)<b>" not in outside and "onerror=alert" in json.dumps(data_of(page))
    assert not re.search(r"(src|href)=\"(?!data:)", outside)


@given(st.text())
def test_any_text_survives_in_a_script(text):
    inside = templates._environment().from_string("{{ data | tojson }}").render(data={"name": text})
    assert "<" not in inside and json.loads(inside) == {"name": text}


def test_picture_names_the_genres(space):
    picture = (space.results / "style_space.svg").read_text(encoding="utf-8")
    assert picture.startswith("<?xml") and "onerror=alert(1)>" not in re.sub(
        r"<!--.*?-->", "", picture, flags=re.DOTALL
    )
    for genre in ("rock &amp; roll (8)", "(8)"):
        assert genre in picture


def test_map_is_made_once_and_the_same_again(space, capsys):
    files = style_map.files(space)
    made, page, picture = (path.read_bytes() for path in (files.map, files.page, files.picture))
    plot(["--root", str(space.root)])
    assert "made before, drawn again" in capsys.readouterr().out
    plot(["--root", str(space.root), "--overwrite"])
    assert "to be made" in capsys.readouterr().out
    with np.load(files.map) as again:
        assert again["points"].shape == (24, 2) and np.isfinite(again["points"]).all()
    assert files.map.read_bytes() == made
    assert (files.page.read_bytes(), files.picture.read_bytes()) == (page, picture)


def test_map_keeps_groups_together():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 30)
    features = rng.normal(size=(3, 512))[group] + 0.1 * rng.normal(size=(90, 512))
    points = style_map.embed(style_map.pca(features.astype(np.float32)))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (group[distances.argmin(axis=1)] == group).all()


def test_few_clips(tmp_path):
    rng = np.random.default_rng(0)
    assert style_map.embed(style_map.pca(rng.normal(size=(4, 512)))).shape == (4, 2)
    for features, message in (
        (rng.normal(size=(3, 512)), "at least 4"),
        (np.ones((9, 512)), "same features"),
    ):
        with pytest.raises(PipelineError, match=message):
            style_map.embed(style_map.pca(features))


def test_umap_that_is_not_installed(space, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    assert "pip install umap-learn" in refused(plot, space, "--method", "umap")


def test_csv_alone_gives_the_same_clips(space, tmp_path):
    clips, features = style_map.read(space, space.test_features)
    of_arrays, same = style_map.read(space)
    assert results.newest_table(space).suffix == ".npz"
    assert (features == same).all() and clips.drop(columns="recording").equals(of_arrays.drop(columns="recording"))
    alone = Artifacts(tmp_path)
    alone.results.mkdir()
    for path in (space.test_features, space.results / "testing.json", space.prediction):
        shutil.copy(path, alone.results)
    assert results.newest_table(alone) == alone.test_features
    without_split, _ = style_map.read(alone)
    assert (without_split["recording"] == "").all() and (without_split["predicted"] == clips["predicted"]).all()


def test_newer_csv_goes_before_older_arrays(tmp_path):
    artifacts = make_space(tmp_path, clips=2)
    arrays = artifacts.test_features.with_suffix(".npz")
    os.utime(arrays, (1e9, 1e9))
    assert results.newest_table(artifacts) == artifacts.test_features


def test_features_of_another_network_than_the_predictions_are_refused(tmp_path):
    artifacts = make_space(tmp_path, clips=3)
    record = artifacts.results / "testing.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "model": "another"}))
    for main, args in ((plot, ()), (walk, HOSTILE_GENRES[:2])):
        message = refused(main, artifacts, *args)
        assert "different runs" in message and "another" in message and "2-testing.py --overwrite" in message


def test_step_before_is_named(tmp_path):
    for main, args in ((plot, ()), (walk, ("a", "b"))):
        assert "2-testing.py" in refused(main, Artifacts(tmp_path), *args)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY"])
def test_damaged_map_is_not_used(space, content, tmp_path):
    features = np.random.default_rng(0).normal(size=(6, 512)).astype(np.float32)
    (tmp_path / "map.npz").write_bytes(content)
    assert style_map.read_map(tmp_path / "map.npz", features) is None
    made = style_map.make_map(tmp_path / "map.npz", features)
    assert (style_map.read_map(tmp_path / "map.npz", features) == made).all()
    assert style_map.read_map(tmp_path / "map.npz", features * 2) is None  # other features


def test_own_tracks_are_a_space_too(tmp_path):
    (tmp_path / "b c.mp3").touch()
    paths = [str(tmp_path / name) for name in ("b c.mp3", "d-e-0-29.mp3", "f.mp3", "g.mp3", "h.mp3")]
    feature_table.write(tmp_path / "own.csv", make_track_table(paths, tmp_path, 512, ("x", "y")))
    clips, features = style_map.read(Artifacts(tmp_path), tmp_path / "own.csv")
    assert features.shape == (5, 512) and clips["predicted"].tolist() == clips["genre"].tolist()
    assert clips["recording"].tolist() == paths
    assert clips["label"].tolist() == ["b c", "d-e · 0:00", "f", "g", "h"]
    plot(["--root", str(tmp_path), "--features", str(tmp_path / "own.csv")])
    data = data_of((tmp_path / "results/style_space.html").read_text())
    assert data["clips"]["src"] == ["../b%20c.mp3", "", "", "", ""] and data["clips"]["missing"] == ["", *paths[1:]]


# The walk


def read_walk(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_walk_from_genre_to_genre(tmp_path, capsys):
    artifacts = make_space(tmp_path, classes=("jazz", "rock", "folk & co"), artist="{genre}, the\nband")
    walk(["jazz", "folk & co", "--root", str(tmp_path)])
    rows = read_walk(artifacts.results / "walk_jazz_folk_co.csv")
    assert [int(row["waypoint"]) for row in rows] == list(range(52))
    assert (rows[0]["genre"], rows[-1]["genre"]) == ("jazz", "folk & co")
    assert [float(rows[end][column]) for end in (0, -1) for column in ("distance", "line_distance")] == [0] * 4
    clips, features = style_map.read(artifacts)
    names = dict(zip(clips["name"], clips["genre"], strict=True))
    assert all(names[row[f"{kind}clip"]] == row[f"{kind}genre"] for row in rows for kind in ("", "line_"))
    reduced = style_map.pca(features)
    assert clips["name"][style_map.centroid_clips(clips, reduced, ["jazz"])["jazz"]] == rows[0]["clip"]
    assert "genres by waypoint: jazz" in capsys.readouterr().out
    picture = (artifacts.results / "walk_jazz_folk_co.svg").read_text(encoding="utf-8")
    assert "principal path" in picture and "straight line" in picture
    before = [(artifacts.results / f"walk_jazz_folk_co.{kind}").read_bytes() for kind in ("csv", "svg")]
    walk(["jazz", "folk & co", "--root", str(tmp_path)])
    assert [(artifacts.results / f"walk_jazz_folk_co.{kind}").read_bytes() for kind in ("csv", "svg")] == before


def test_walk_follows_the_music_where_the_straight_line_leaves_it():
    rng = np.random.default_rng(3)
    angle = np.linspace(0, np.pi, 150)
    arc = np.stack([np.cos(angle), np.sin(angle), np.zeros(150)], axis=1) + rng.normal(0, 0.02, (150, 3))
    (rows, distances), (line_rows, line_distances) = style_walk.walk(arc, 0, 149)
    assert (np.diff(rows) > -8).all() and len(set(rows)) > 40  # along the arc, not to and fro
    assert distances.max() < 0.1 < 0.5 < line_distances.max()
    assert set(line_rows) != set(rows)


def test_playlist_plays(tmp_path):
    artifacts = make_space(tmp_path, classes=("jazz", "rock"), clips=12, artist="#é {genre}")
    make_music(artifacts, every=1)
    walk(["jazz", "rock", "--root", str(tmp_path)])
    lines = (artifacts.results / "walk_jazz_rock.m3u8").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#EXTM3U"
    for information, path in zip(lines[1::2], lines[2::2], strict=True):
        assert re.fullmatch(r"#EXTINF:29,#é (jazz|rock) - .+", information)
        assert not path.startswith("#") and soundfile.info(artifacts.results / path).duration > 0.9
    walked = [Path(row["clip"]).name.partition("_")[2] for row in read_walk(artifacts.results / "walk_jazz_rock.csv")]
    collapsed = [name for name, before in zip(walked, [None, *walked], strict=False) if name != before]
    assert [Path(path).stem for path in lines[2::2]] == collapsed


def test_playlist_without_recordings_is_none(tmp_path, capsys):
    artifacts = make_space(tmp_path, classes=("jazz", "rock"), artist="a")
    walk(["jazz", "rock", "--root", str(tmp_path)])
    assert (artifacts.results / "walk_jazz_rock.m3u8").exists()
    shutil.rmtree(artifacts.mp3_files)
    walk(["jazz", "rock", "--root", str(tmp_path)])
    assert not (artifacts.results / "walk_jazz_rock.m3u8").exists()
    assert "no playlist" in capsys.readouterr().out


def test_names_that_no_playlist_can_hold_are_left_out(tmp_path):
    paths = [str(tmp_path / name) for name in ("#a.mp3", "b\nc.mp3", "d.mp3")]
    for path in paths:
        Path(path).touch()
    clips = pandas.DataFrame({"recording": [*paths, ""], "name": "n", "label": "x\ny · z"})
    text, played, missing = style_walk.playlist(clips, [0, 0, 1, 2, 3, 0], tmp_path)
    assert text == "#EXTM3U\n" + "".join(f"#EXTINF:-1,x y - z\n{path}\n" for path in ("./#a.mp3", "d.mp3", "./#a.mp3"))
    assert (played, missing) == (3, 2)


def test_genre_with_one_clip_and_a_walk_between_clips(tmp_path):
    artifacts = make_space(tmp_path, classes=("jazz", "rock"), artist="{genre}")
    table = results.read_clips(artifacts, "test")
    only = table[(table["genre"] == "rock") | (table.index == 0)]
    only.to_csv(artifacts.split("test"), index=False)
    make_results(artifacts, classes=("jazz", "rock"))
    plot(["--root", str(tmp_path)])
    first, last = only["clip_id"].iloc[0], only["clip_id"].iloc[-1]
    walk(["jazz", last, "--root", str(tmp_path)])
    rows = read_walk(artifacts.results / f"walk_jazz_{last}.csv")
    assert rows[0]["clip"].startswith(f"{first}_") and rows[-1]["clip"].startswith(f"{last}_")
    assert "same clip" in refused(walk, artifacts, "jazz", first)


def test_ends_that_are_no_ends(space):
    genre = HOSTILE_GENRES[2]
    assert "same clip" in refused(walk, space, genre, genre)
    message = refused(walk, space, "rack & rolls", HOSTILE_GENRES[0])
    assert "Did you mean rock & roll?" in message and HOSTILE_GENRES[1] in message
    message = refused(walk, space, "rock & rol", genre)  # is in the names of clips as well
    assert "fits 8 clips" in message and "Did you mean rock & roll?" in message


def test_walk_says_what_its_distance_means_and_when_it_is_no_better(tmp_path):
    clips = pandas.DataFrame({"genre": ["a", "b"]})
    near, far = (style_walk.Walk(np.array([0, 0, 1]), np.array([0, inner, 0])) for inner in (1.0, 2.0))
    better, worse = style_walk.summary(clips, near, far), style_walk.summary(clips, far, near)
    assert "mean distance 1.00; genres by waypoint: a 2, b 1" in better and "to its nearest clip" in better
    assert "no closer" not in better and "no closer to the music than the straight line" in worse


def test_ends_with_equal_features(tmp_path):
    with pytest.raises(PipelineError, match="same features"):
        style_walk.walk(np.zeros((3, 2)), 0, 1)


def test_names_of_files_are_harmless():
    assert style_walk.file_name("../../a b", "x" * 300) == f"walk_.._.._a_b_{'x' * 60}"


# In a real browser.


@pytest.fixture
def page(space, browser):
    """The page, opened; fails at the end if anything complained or was fetched from elsewhere."""
    opened = browser.new_page()
    opened.set_default_timeout(60_000)
    complaints, requested = [], []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.on("request", lambda request: requested.append(request.url))
    opened.goto((space.results / "style_space.html").as_uri())
    opened.wait_for_selector("body[data-ready]")
    yield opened
    opened.close()
    assert complaints == []
    assert all(url.startswith((space.root.as_uri(), "data:", "blob:")) for url in requested)


PLACE = """i => {
    const map = document.getElementById("map"), layout = map._fullLayout, corner = map.getBoundingClientRect();
    return [corner.left + layout.xaxis._offset + layout.xaxis.l2p(clips.x[i]),
            corner.top + layout.yaxis._offset + layout.yaxis.l2p(clips.y[i])];
}"""


# Resolves when the clip, a second of noise, has been played to its end.
PLAYED = """() => new Promise(done => {
    if (player.ended) done(player.currentTime);
    player.onended = () => done(player.currentTime);
})"""


def click(page, clip):
    x, y = page.evaluate(PLACE, clip)
    page.mouse.move(x - 2, y - 2)
    page.mouse.move(x, y)
    page.wait_for_selector(".hoverlayer .hovertext")
    page.mouse.click(x, y)


def alone(data, wanted):
    """A clip with or without a recording that no other covers on the map."""
    clips = data["clips"]
    points = np.stack([clips["x"], clips["y"]], axis=1)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    candidates = [clip for clip, url in enumerate(clips["src"]) if bool(url) == wanted]
    return max(candidates, key=lambda clip: distances[clip].min())


def test_click_plays_the_clip(page, space):
    data = data_of((space.results / "style_space.html").read_text(encoding="utf-8"))
    clip = alone(data, True)
    click(page, clip)
    page.wait_for_selector("#player:not([hidden])")
    assert page.locator("#player").get_attribute("src") == data["clips"]["src"][clip]
    assert page.evaluate(PLAYED) == pytest.approx(1, abs=0.2)
    told = page.locator("#clip").inner_text()
    assert data["clips"]["label"][clip] in told and data["clips"]["predicted"][clip] in told
    hover = page.locator(".hoverlayer").text_content()
    for told_on_hover in ("label", "name", "predicted"):
        assert data["clips"][told_on_hover][clip] in hover


def test_click_on_a_clip_without_recording_shows_it_as_missing(page, space):
    data = data_of((space.results / "style_space.html").read_text(encoding="utf-8"))
    clip = alone(data, False)
    click(page, clip)
    page.wait_for_selector("#missing:not([hidden])")
    assert data["clips"]["missing"][clip] in page.locator("#missing").inner_text()
    assert not page.locator("#player").is_visible()


def test_genres_are_filtered_by_the_boxes(page):
    shown = "() => map.data.slice(0, 3).map(trace => trace.visible !== false)"
    boxes = page.locator("#genres input")
    assert [label.split("\n")[0] for label in page.locator("#genres label").all_inner_texts()] == list(HOSTILE_GENRES)
    boxes.nth(1).uncheck()
    assert page.evaluate(shown) == [True, False, True]
    assert page.locator(".legend").count() == 0  # the boxes are the legend
    page.get_by_role("button", name="all", exact=True).click()
    assert page.evaluate(shown) == [True, True, True]


def test_search_by_artist(page):
    page.fill("#search", "ROCK & roll")
    page.wait_for_selector("#hits:not(:empty)")
    assert page.locator("#hits").inner_text() == "8 clips of 1 artist"
    assert page.evaluate("() => map.data.slice(0, 3).map(trace => trace.selectedpoints.length)") == [0, 0, 8]
    found = page.locator("#found button")
    assert found.count() == 8
    found.nth(0).press("Enter")  # by keyboard as well
    page.wait_for_selector("#player:not([hidden]), #missing:not([hidden])")
    page.fill("#search", unicodedata.normalize("NFD", "É, rock"))  # in the names as one character
    page.wait_for_selector("#hits:text('8 clips of 1 artist')")
    page.fill("#search", "nobody")
    page.wait_for_selector("#hits:text('0 clips')")
    page.fill("#search", "")
    page.wait_for_selector("#hits:empty", state="attached")
    assert page.evaluate("() => map.data[0].selectedpoints ?? null") is None


def test_search_dims_the_centres_and_the_selection_can_be_removed(page):
    page.fill("#search", "rock & roll")
    page.wait_for_selector("#hits:not(:empty)")
    assert page.evaluate("() => map.data.slice(3, 6).map(trace => trace.selectedpoints.length)") == [0, 0, 1]
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


def test_eight_thousand_clips_are_usable(tmp_path, browser):
    rng = np.random.default_rng(0)
    artifacts, genre = Artifacts(tmp_path), rng.integers(0, 2, 8000)
    names = [f"artist_{number % 300}-album-01-song-0-29.npy" for number in range(8000)]
    artifacts.results.mkdir()
    arrays = artifacts.test_features.with_suffix(".npz")
    features = rng.normal(size=(8000, 2)).astype(np.float32)
    columns = {"clip_id": range(8000), "spectrogram": names, "recording": "", "model": "m"}
    rows = pandas.DataFrame({**columns, "genre": ["xy"[kind] for kind in genre]})
    feature_table.write(arrays, feature_table.FeatureTable(rows, features, artifacts.mp3_files))
    clips, _ = style_map.read(artifacts)
    text = style_space_page.render(clips, features, ["x", "y"], {"x": 0, "y": 1}, "", artifacts.results)
    assert len(text) < 7e6
    (artifacts.results / "style_space.html").write_text(text, encoding="utf-8")
    page = browser.new_page()
    page.goto((artifacts.results / "style_space.html").as_uri())
    page.wait_for_selector("body[data-ready]", timeout=60_000)  # 3 s on an idle machine
    assert page.locator(".scatterlayer .point").count() >= 8000
    page.fill("#search", "artist 7")
    page.wait_for_selector("#hits:not(:empty)")
    page.close()
