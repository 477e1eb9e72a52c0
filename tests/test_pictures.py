"""The pictures: any genre's name, few and many clips, light and dark."""

import numpy as np
import pandas
import pytest
from matplotlib.colors import to_rgb

from music_featurization.artifacts import PipelineError
from music_featurization.evaluation import figures, metrics, palette, taggram
from music_featurization.style_space import picture, style_map, walk

ODD_GENRES = ("_x", "a, b", "<b>&'\"", "古典", "$x^2$", "long " * 20)


def space(clips=60, genres=ODD_GENRES):
    """Clips, their features and their map, which is the first two features."""
    features = np.random.default_rng(0).normal(size=(clips, 8))
    table = pandas.DataFrame({"genre": [genres[row % len(genres)] for row in range(clips)]})
    return table, features, features[:, :2]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("theme", palette.THEMES)
def test_any_name_is_in_the_legend_of_the_map(theme):
    clips, features, points = space()
    centres = style_map.centroid_clips(clips, features, ODD_GENRES)
    figure = picture.draw_map(clips, points, ODD_GENRES, centres, "title", theme)
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown[:5] == [f"{genre} (10)" for genre in ODD_GENRES[:5]] and shown[5].endswith("… (10)")
    svg = figures.render(figure, "svg").decode()
    assert palette.THEMES[theme].background in svg and palette.genre_style(0).colour.lower() in svg


@pytest.mark.filterwarnings("error")
def test_any_name_is_in_the_other_pictures():
    truth = np.arange(12) % 6
    measured = metrics.evaluate(metrics.Predictions(truth, truth, np.eye(6)[truth], ODD_GENRES))
    clips, features, points = space()
    path, line = walk.walk(features, 0, 1)
    for figure in (
        figures.confusion_matrix(measured, ODD_GENRES),
        picture.draw_walk(clips, points, ODD_GENRES, path, line, "from _x to 古典"),
    ):
        assert figures.render(figure, "png").startswith(b"\x89PNG")
    assert figure.legends[0].get_texts()[0].get_text() == "_x (10)"


def test_a_font_that_has_the_letters_is_chosen():
    assert palette.settings("light", ["rock", "é"])["font.family"] == [palette.FONT]
    assert palette.settings("light", ["rock", "\u222d"])["font.family"] == [palette.FONT]
    letter = "\u1d81"  # in fonts that matplotlib brings, but not in DejaVu Sans
    assert len(palette.settings("light", [letter])["font.family"]) == 2


def test_dots_are_smaller_the_more_there_are():
    sizes = []
    for count in (10, 600, 20000):
        clips, _, points = space(count)
        figure = picture.draw_map(clips, points, ODD_GENRES, dict.fromkeys(ODD_GENRES, 0), "")
        sizes.append(figure.axes[0].collections[0].get_sizes()[0])
    assert sizes[0] > sizes[1] > sizes[2] > 0


@pytest.mark.parametrize(("tags", "windows"), [(50, 10), (3, 1), (13, 700)])
def test_taggram_shows_the_likeliest_tags(tmp_path, tags, windows):
    probabilities = np.random.default_rng(0).uniform(0, 0.5, (tags, windows))
    probabilities[1] = 0.9
    names, starts = [f"tag {number}" for number in range(tags)], 3.0 * np.arange(windows)
    axes = taggram.draw(probabilities, names, starts).axes[0]
    shown = [text.get_text() for text in axes.get_yticklabels()]
    assert shown[0] == "tag 1  0.90" and len(shown) == min(tags, 12)
    means = [float(text.split()[-1]) for text in shown]
    assert means == sorted(means, reverse=True)
    assert axes.get_xlim() == (0, 3 * windows)
    figure = taggram.draw(probabilities, names, starts, theme="dark", title="a · b")
    pictures = [tmp_path / "t.svg", tmp_path / "t.png"]
    figures.save(figure, *pictures)
    assert all(0 < picture.stat().st_size < 300_000 for picture in pictures)
    assert palette.THEMES["dark"].background in (tmp_path / "t.svg").read_text()
    with pytest.raises(PipelineError, match=r"does not end in \.svg or \.png"):
        figures.save(figure, tmp_path / "t.jpg")


def contrast(colour, other):
    """Compute the contrast of two colours as WCAG 2 defines it, from 1 to 21."""
    rgb = np.array([to_rgb(colour), to_rgb(other)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ (0.2126, 0.7152, 0.0722))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", palette.THEMES)
def test_text_in_the_confusion_matrix_is_readable(theme):
    truth = np.repeat(np.arange(21), 20)
    predicted = np.where(np.arange(420) % 20 < truth, truth, 0)  # from 0 to 100 % of each genre are right
    genres = [f"g{label}" for label in range(21)]
    measured = metrics.evaluate(metrics.Predictions(truth, predicted, np.eye(21)[predicted], genres))
    axes = figures.confusion_matrix(measured, genres, theme).axes[0]
    cells = axes.images[0].cmap(axes.images[0].get_array())
    for text in axes.texts:
        column, row = np.rint(text.get_position()).astype(int)
        assert contrast(text.get_color(), cells[row, column, :3]) > 4.5, (text.get_text(), row, column)
