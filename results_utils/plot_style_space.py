"""Draw the map of the style space: a picture, and a page to explore and hear it.

    python3 plot_style_space.py
    python3 plot_style_space.py --features ../results/music_dataset_all.npz
    python3 plot_style_space.py --features ../results/features.csv          (one's own music, from featurize.py)

Reads the features of the test set that 2-testing.py wrote. Writes results/style_space.svg and style_space.html, which
needs no network (its players read the recordings where they are); the map is kept in style_space_<table>.npz.
"""

from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import Artifacts, write_text
from music_featurization.style_space import style_map


def main(argv=None):
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--features", type=Path, metavar="FILE", help="another table of features (.csv, .npz, .parquet)"
    )
    parser.add_argument("--method", choices=style_map.METHODS, default="tsne", help="umap needs umap-learn")
    parser.add_argument("--overwrite", action="store_true", help="compute the map again")
    args = parser.parse_args(argv)
    from music_featurization.evaluation import figures, test_results
    from music_featurization.style_space import page, picture

    where = Artifacts(args.root)
    out = style_map.files(where, args.features)
    clips, features = style_map.read(where, args.features)
    genres = style_map.genres_of(clips, test_results.classes_of(where))
    print(f"{len(clips)} clips; the map of 8,000 takes a minute or two", flush=True)
    points, was_made = style_map.read_or_make_map(out.map, features, args.method, args.overwrite)
    print(f"map {'made' if was_made else 'was there already, drawn again'}: {out.map}")
    centres = style_map.centroid_clips(clips, style_map.pca(features), genres)
    method = style_map.METHODS[args.method]
    about = f"{len(clips):,} clips, {len(genres)} genres, {method} of {features.shape[1]} features"

    figures.save(picture.draw_map(clips, points, genres, centres, f"Style space: {about}"), out.picture)
    write_text(out.page, page.page(clips, points, genres, centres, about, where.results))
    missing = int((clips["recording"] == "").sum())
    if missing:
        print(f"{missing} of {len(clips)} recordings are missing; the page says so where they would play")
    print(f"picture: {out.picture}\npage: {out.page}")


if __name__ == "__main__":
    command_line.run(main)
