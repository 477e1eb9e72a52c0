"""Colours and fonts of all pictures, on a light or a dark background."""

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

# Okabe and Ito's colours, which all kinds of colour vision can distinguish.
BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
TRAINING, VALIDATION, BALANCED = BLUE, RED, GREEN
# With more genres than colours the markers change: matplotlib's and Plotly's names.
MARKERS = (("o", "circle"), ("s", "square"), ("^", "triangle-up"), ("D", "diamond"), ("P", "cross"), ("X", "x"))
FONT = "DejaVu Sans"  # comes with matplotlib, so that every machine draws the same


class Theme(NamedTuple):
    """Colours of everything but the data, and the colour map of probabilities."""

    background: str
    text: str
    muted: str
    grid: str
    colour_map: tuple[str, ...]


THEMES = {
    "light": Theme("#ffffff", "#1a1a1a", "#666666", "#dddddd", ("#ffffff", "#c6dbef", "#6baed6", "#2171b5", "#08306b")),
    "dark": Theme("#16181c", "#e8e8e8", "#a0a0a0", "#3a3d42", ("#16181c", "#123a63", "#2171b5", "#6baed6", "#e3f0fa")),
}


class GenreStyle(NamedTuple):
    """Appearance of a genre: colour, and matplotlib's and Plotly's names of the marker."""

    colour: str
    marker: str
    symbol: str


def genre_style(number: int) -> GenreStyle:
    """Return the style of the genre with this number, from 0."""
    colours = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
    return GenreStyle(colours[number % len(colours)], *MARKERS[number // len(colours) % len(MARKERS)])


def readable_on(colour: tuple[float, ...]) -> str:
    """Return black or white, the one of higher contrast (WCAG 2) to a background of this RGB or RGBA colour, 0 to 1."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#ffffff"


def settings(theme: str = "light", texts: Iterable[str] = ()) -> dict:
    """Return matplotlib's settings (`rcParams`) for a picture in "light" or "dark" colours.

    Further fonts are chosen if they have letters of `texts`, names in the picture, that DejaVu Sans lacks.
    """
    background, text, muted, grid, _ = THEMES[theme]
    return {
        "font.family": [FONT, *_further_fonts("".join(sorted(set("".join(texts)))))],
        "font.size": 11,
        "text.parse_math": False,  # a name may contain a dollar sign
        "svg.hashsalt": "MusicFeaturization",
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(("figure.facecolor", "axes.facecolor"), background),
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"), text),
        "axes.edgecolor": muted,
        "grid.color": grid,
    }


@functools.cache
def _further_fonts(letters: str) -> list[str]:
    """Choose installed fonts for the letters that `FONT` lacks, as few as possible."""
    from matplotlib import font_manager, ft2font

    def known(file: str) -> set[int]:
        """Return the missing letters that a font has."""
        try:
            return missing & ft2font.FT2Font(file).get_charmap().keys()
        except (OSError, RuntimeError):  # matplotlib's list can be older than the installed fonts
            return set()

    installed = [font for font in font_manager.fontManager.ttflist if (font.style, font.weight) == ("normal", 400)]
    files = {font.name: font.fname for font in installed if not font.name.startswith("Last Resort")}  # draws boxes
    missing = {ord(letter) for letter in letters}
    missing -= known(files[FONT])
    chosen: list[str] = []
    while missing:
        best = max(sorted(files), key=lambda font: len(known(files[font])))
        if not known(files[best]):  # no installed font has the others
            break
        missing -= known(files[best])
        chosen.append(best)
    return chosen


def colour_map(theme: str = "light") -> "Colormap":
    """Return a matplotlib colour map for probabilities, from the background's colour at 0."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(f"probability {theme}", THEMES[theme].colour_map)
