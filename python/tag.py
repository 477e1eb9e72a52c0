"""Print the likeliest tags of recordings, by the two musicnn networks of the front end.

    python3 tag.py song.mp3
    python3 tag.py ~/Music --top 10

TRACK is a recording, or a folder: all recordings below it. One line per recording and network: MagnaTagATune's tags and
the Million Song Dataset's, each with its mean probability over the recording. A recording that cannot be read is named,
and the others follow; the exit status is 1 if none can be read.
"""

import sys
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import PipelineError

NETWORKS = {"mtt_": "MagnaTagATune", "msd_": "Million Song Dataset"}


def main(argv=None):
    parser = command_line.parser(__doc__)
    parser.add_argument("tracks", nargs="+", metavar="TRACK", help="recordings, or folders of recordings")
    parser.add_argument("--top", type=command_line.positive, default=5, metavar="N", help="tags per network")
    args = parser.parse_args(argv)
    from music_featurization import tags
    from music_featurization.feature_tables import tracks
    from music_featurization.file_tree import in_a_line

    found, left_out = tracks.find(args.tracks, Path.cwd() / "tags")
    print(*left_out.lines(), sep="\n", end="\n" if left_out.lines() else "")
    failed = 0
    for track in found:
        try:
            probabilities = tags(track.path)
        except PipelineError as error:
            print(error, file=sys.stderr)
            failed += 1
            continue
        print(in_a_line(track.name))
        for prefix, network in NETWORKS.items():
            print(f"  {network}: {likeliest(probabilities, prefix, args.top)}")
    return 1 if failed == len(found) else 0


def likeliest(probabilities: dict[str, float], prefix: str, top: int) -> str:
    """Return the likeliest tags with this prefix as text, such as "guitar 0.62, classical 0.31"."""
    chosen = sorted(
        (-value, tag.removeprefix(prefix)) for tag, value in probabilities.items() if tag.startswith(prefix)
    )
    return ", ".join(f"{tag} {-value:.2f}" for value, tag in chosen[:top])


if __name__ == "__main__":
    command_line.run(main)
