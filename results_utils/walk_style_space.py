"""Walk through the style space from one genre or clip to another, past the music between them.

    python3 walk_style_space.py classical rock
    python3 walk_style_space.py 100042 opera --features ../results/music_dataset_all.npz

A clip is given by its id, its name or a part of it; a genre means the clip nearest to its centroid. The walk follows
the principal path, and is compared with the straight line. Writes results/walk_<from>_<to>.csv (the nearest clip of
each waypoint, its genre and distance), .m3u8 (a playlist of these clips) and .svg (the walk on the map of
plot_style_space.py).
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import REPOSITORY, Artifacts, write_table, write_text


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument("start", metavar="FROM", help="a genre or a clip")
    parser.add_argument("end", metavar="TO", help="a genre or a clip")
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="table of features: .csv, .npz or .parquet (default: the test set's)",
    )
    walk_style_space(**vars(parser.parse_args(argv)))
    return 0


def walk_style_space(*, start: str, end: str, root: Path = REPOSITORY, features: Path | None = None) -> None:
    """Walk between two genres or clips of a table of features; write the table, the playlist and the picture."""
    from music_featurization.evaluation import figures, results
    from music_featurization.file_tree import in_a_line
    from music_featurization.style_space import picture, style_map, walk

    artifacts = Artifacts(root)
    clips, values = style_map.read(artifacts, features)
    genres, reduced = style_map.genres_of(clips, results.classes_of(artifacts)), style_map.pca(values)
    rows = [walk.find_end(text, clips, reduced, genres) for text in (start, end)]
    for word, row in zip(("from", "to  "), rows, strict=True):
        print(in_a_line(f"{word} {clips['label'][row]} ({clips['genre'][row]}): {clips['name'][row]}"))
    path, line = walk.walk(reduced, *rows)
    print(walk.summary(clips, path, line))

    name = walk.file_name(start, end)
    table_file, playlist_file, picture_file = (artifacts.results / f"{name}.{kind}" for kind in ("csv", "m3u8", "svg"))
    write_table(table_file, walk.table(clips, path, line))
    print(f"table: {table_file}")
    write_playlist(playlist_file, *walk.playlist(clips, path.rows, artifacts.results))
    map_file = style_map.files(artifacts, features).map
    points = style_map.read_map(map_file, values)
    points = style_map.make_map(map_file, values) if points is None else points
    figures.save(picture.draw_walk(clips, points, genres, path, line, f"From {start} to {end}"), picture_file)
    print(f"picture: {picture_file}")


def write_playlist(path: Path, text: str, played: int, missing: int) -> None:
    """Write the playlist; if no recording exists, remove one of an earlier walk instead."""
    if missing:
        print(f"{command_line.plural(missing, 'recording')} missing from the playlist")
    if played:
        write_text(path, text)
        print(f"playlist of {command_line.plural(played, 'recording')}: {path}")
    else:
        path.unlink(missing_ok=True)
        print("no playlist: none of the recordings exists")


if __name__ == "__main__":
    command_line.run(main)
