"""Draw the map of the style space: a picture, and a page to explore and to listen to.

    python3 plot_style_space.py
    python3 plot_style_space.py --features ../results/music_dataset_all.npz
    python3 plot_style_space.py --features ../results/features.csv          (one's own music, from featurize.py)

Reads the features of the test set that 2-testing.py wrote. Writes results/style_space.svg and style_space.html, which
needs no network (its players read the recordings where they are); the map is kept in style_space_<table>.npz.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import REPOSITORY, Artifacts, write_text
from music_featurization.style_space import style_map

LONG = 2000  # clips; the map of fewer takes seconds


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="table of features: .csv, .npz or .parquet (default: the test set's)",
    )
    parser.add_argument(
        "--method", choices=style_map.METHODS, default="tsne", help="algorithm of the map; umap needs umap-learn"
    )
    parser.add_argument("--overwrite", action="store_true", help="compute the map again")
    plot_style_space(**vars(parser.parse_args(argv)))
    return 0


def plot_style_space(
    *, root: Path = REPOSITORY, features: Path | None = None, method: str = "tsne", overwrite: bool = False
) -> None:
    """Draw the map of a table of features (by default the test set's) as a picture and as a page."""
    from music_featurization.evaluation import figures, results
    from music_featurization.style_space import page, picture

    artifacts = Artifacts(root)
    files = style_map.files(artifacts, features)
    clips, values = style_map.read(artifacts, features)
    genres = style_map.genres_of(clips, results.classes_of(artifacts))
    points = None if overwrite else style_map.read_map(files.map, values, method)
    doing = "computing the map" if points is None else "drawing the map computed before,"
    print(f"{command_line.plural(len(clips), 'clip')}: {doing} {files.map}")
    if points is None:
        if len(clips) > LONG:
            print("this takes a minute or more", flush=True)
        points = style_map.make_map(files.map, values, method)
    centres = style_map.centroid_clips(clips, style_map.pca(values), genres)
    what = f"{len(clips):,} clips, {command_line.plural(len(genres), 'genre')}"
    description = f"{what}, {style_map.METHODS[method]} of {values.shape[1]} features"
    figures.save(picture.draw_map(clips, points, genres, centres, f"Style space: {description}"), files.picture)
    write_text(files.page, page.render(clips, points, genres, centres, description, artifacts.results))
    if missing := sum(not style_map.has_recording(recording) for recording in clips["recording"]):
        print(f"{command_line.plural(missing, 'recording')} missing; the page says so in place of a player")
    print(f"picture: {files.picture}\npage: {files.page}")


if __name__ == "__main__":
    command_line.run(main)
