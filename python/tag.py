"""Print the most probable tags of recordings, by the two musicnn networks of the front end, and draw them over time.

    python3 tag.py song.mp3
    python3 tag.py ~/Music --top 10
    python3 tag.py song.mp3 --plot --output pictures

TRACK is a recording, or a folder with all recordings below it. The script prints one line per recording and network:
the tags of MagnaTagATune and of the Million Song Dataset, each with its mean probability over the recording. --plot
writes the taggram of each recording, tags over time in steps of 3 s, as <name>_<network>_<theme>.svg and .png. The
script names recordings that cannot be read, and goes on; the exit status is 1 if it can read none.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import Artifacts, PipelineError

NETWORKS = {"mtt_": "MagnaTagATune", "msd_": "Million Song Dataset"}


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument("tracks", nargs="+", metavar="TRACK", help="recordings, or folders of recordings")
    parser.add_argument("--top", type=command_line.positive, default=5, metavar="N", help="tags per network")
    parser.add_argument("--plot", action="store_true", help="draw the tags over time")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder of the pictures (default: results/taggrams under --root)"
    )
    args = parser.parse_args(argv)
    from music_featurization import tags
    from music_featurization.feature_tables import tracks
    from music_featurization.file_tree import in_a_line

    recordings, left_out = tracks.find(args.tracks, Path.cwd() / "tags")
    print(*left_out.lines(), sep="\n", end="\n" if left_out.lines() else "")
    failed = 0
    for track in recordings:
        try:
            probabilities = tags(track.path)
            print(in_a_line(track.name))
            for prefix, network in NETWORKS.items():
                print(f"  {network}: {likeliest(probabilities, prefix, args.top)}")
            if args.plot:
                output = args.output or Artifacts(args.root).results / "taggrams"
                print(f"  taggrams: {draw(track.path, output)}")
        except PipelineError as error:
            print(error, file=sys.stderr)
            failed += 1
    return 1 if failed == len(recordings) else 0


def likeliest(probabilities: dict[str, float], prefix: str, top: int) -> str:
    """Return the most probable tags with this prefix as text, such as "guitar 0.62, classical 0.31"."""
    chosen = sorted(
        (-value, tag.removeprefix(prefix)) for tag, value in probabilities.items() if tag.startswith(prefix)
    )
    return ", ".join(f"{tag} {-value:.2f}" for value, tag in chosen[:top])


def draw(recording: str, output: Path) -> Path:
    """Draw the taggrams of a recording, one per network, light and dark; return the first."""
    from music_featurization import tags
    from music_featurization.dataset import clip_names
    from music_featurization.evaluation import figures, taggram

    probabilities, seconds = tags(recording, every=3.0)
    pictures = []
    for prefix, network in NETWORKS.items():
        names = [name for name in probabilities if name.startswith(prefix)]
        rows = [probabilities[name] for name in names]
        title = f"{clip_names.readable(Path(recording).name)}: tags of {network}"
        short = [name.removeprefix(prefix) for name in names]
        for theme in ("light", "dark"):
            files = [output / f"{Path(recording).stem}_{prefix}{theme}{ending}" for ending in (".svg", ".png")]
            figures.save(taggram.draw(rows, short, seconds, theme=theme, title=title), *files)
            pictures += files
    return pictures[0]


if __name__ == "__main__":
    command_line.run(main)
