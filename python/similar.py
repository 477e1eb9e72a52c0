"""List the tracks of a features file that sound most like one of them, or like any recording.

    python3 similar.py "goldberg"
    python3 similar.py ~/Music/new.mp3 --features ~/features.npz --top 5

TRACK is a recording, or a path in the features file, or a part of a path that no other contains. The features of a
recording that is not in the file are computed by the same network. Similar means that the cosine of the features is
high. Reads what featurize.py or 2-testing.py wrote; prints cosine, genre and path.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import PROVIDED_MODEL, REPOSITORY, Artifacts


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("track", metavar="TRACK", help="a path, a part of a path, or a recording")
    add("--features", type=Path, metavar="FILE", help="the features file (default: results/features.csv under --root)")
    add("--top", type=command_line.positive, default=10, metavar="N", help="number of tracks")
    text = "the network that made the features, for a recording that is not in the file (default: the provided one)"
    add("--model", type=Path, default=PROVIDED_MODEL, metavar="FILE", help=text)
    print_similar(**vars(parser.parse_args(argv)))
    return 0


def print_similar(
    *, track: str, root: Path = REPOSITORY, features: Path | None = None, top: int = 10, model: Path = PROVIDED_MODEL
) -> None:
    """Print cosine, genre and path of the tracks that sound most like a track."""
    from music_featurization.evaluation import results
    from music_featurization.file_tree import in_a_line
    from music_featurization.style_space import neighbours

    artifacts = Artifacts(root)
    file, classes = features or artifacts.features, results.classes_of(artifacts)
    with command_line.without_stderr():  # of libmpg123
        name, table, matches = neighbours.similar(track, file, top=top, model=model, classes=classes)
    print(f"nearest to {in_a_line(name)} of {len(table.names)} in {file}:")
    for similarity, row in matches:
        print(f"{similarity:.3f}  {table.genres[row]:10}  {in_a_line(table.names[row])}")


if __name__ == "__main__":
    command_line.run(main)
