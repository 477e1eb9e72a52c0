"""Walk through the style space from one genre or clip to another, past the music on the way.

    python3 walk_style_space.py classical rock
    python3 walk_style_space.py 100042 opera --features ../results/music_dataset_all.npz

A clip is given by its id, its name or a part of it; a genre stands for the clip nearest to its centroid. The way is the
principal path, compared with the straight line. Writes results/walk_<from>_<to>.csv (each waypoint's nearest clip, its
genre and distance), .m3u8 (a playlist of these clips) and .svg (the walk on the map of plot_style_space.py).
"""

from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import Artifacts, write_table, write_text


def main(argv=None):
    parser = command_line.parser(__doc__)
    parser.add_argument("start", metavar="FROM", help="a genre or a clip")
    parser.add_argument("end", metavar="TO", help="a genre or a clip")
    parser.add_argument("--features", type=Path, metavar="FILE", help="a table of features other than the test set's")
    args = parser.parse_args(argv)
    from music_featurization.evaluation import test_results
    from music_featurization.style_space import style_map, walk

    where = Artifacts(args.root)
    clips, features = style_map.read(where, args.features)
    genres, reduced = style_map.genres_of(clips, test_results.classes_of(where)), style_map.pca(features)
    start, end = (walk.find_end(text, clips, reduced, genres) for text in (args.start, args.end))
    print(f"from {clips['name'][start]} ({clips['genre'][start]})\nto   {clips['name'][end]} ({clips['genre'][end]})")
    path, line = walk.walk(reduced, start, end)
    print(f"principal path: {walk.summary(clips, *path)}\nstraight line:  {walk.summary(clips, *line)}")

    out = where.results / walk.file_name(args.start, args.end)
    write_table(name(out, ".csv"), walk.table(clips, path, line))
    write_playlist(name(out, ".m3u8"), *walk.playlist(clips, path[0], where.results))
    points, _ = style_map.read_or_make_map(style_map.files(where, args.features).map, features)
    draw(name(out, ".svg"), clips, points, genres, path[0], line[0], f"From {args.start} to {args.end}")


def name(out, ending):
    """Path of one of the walk's files."""
    return out.with_name(out.name + ending)  # with_suffix would cut a name that holds a dot


def write_playlist(path, text, played, missing):
    """Write the playlist; without any recording there is none, and one of an earlier walk goes."""
    if missing:
        print(f"{missing} recordings are missing; the playlist is without them")
    if played:
        write_text(path, text)
        print(f"playlist of {played} clips: {path}")
    else:
        path.unlink(missing_ok=True)
        print("no playlist: none of the recordings is there")


def draw(path, clips, points, genres, rows, straight, title):
    """Write the picture."""
    from music_featurization.evaluation import figures
    from music_featurization.style_space import picture

    figures.save(picture.draw_walk(clips, points, genres, rows, straight, title), path)
    print(f"picture: {path}")


if __name__ == "__main__":
    command_line.run(main)
