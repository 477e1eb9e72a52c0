"""Print the most probable tags of recordings, by the two musicnn networks of the front end, and draw them over time.

    python3 tag.py song.mp3
    python3 tag.py ~/Music --top 10
    python3 tag.py song.mp3 --plot --output pictures

TRACK is a recording, or a folder with all recordings below it. The script prints one line per recording and network:
the tags of MagnaTagATune and of the Million Song Dataset, each with its mean probability over the recording. --plot
writes the taggram of each recording, tags over time in steps of 3 s, as <name>_<network>_<theme>.svg and .png. If
several recordings have the same name, a digest of their path is added. The script names recordings that cannot be read,
and goes on; the exit status is 1 if it can read none.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import REPOSITORY, Artifacts, PipelineError, fingerprint

NETWORKS = {"mtt_": "MagnaTagATune", "msd_": "Million Song Dataset"}
LONGEST_NAME = 200  # bytes of a recording's name in those of its pictures: a file system allows 255


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    add("paths", nargs="+", metavar="TRACK", help="recordings, or folders of recordings")
    add("--top", type=command_line.positive, default=5, metavar="N", help="number of tags of each network")
    add("--plot", action="store_true", help="draw the tags over time")
    add("--output", type=Path, metavar="DIR", help="folder of the pictures (default: results/taggrams under --root)")
    return tag(**vars(parser.parse_args(argv)))


def tag(
    *, paths: Sequence[str], root: Path = REPOSITORY, top: int = 5, plot: bool = False, output: Path | None = None
) -> int:
    """Print the most probable tags of recordings; return 1 if none can be read, else 0."""
    from music_featurization import tags
    from music_featurization.feature_tables import tracks
    from music_featurization.file_tree import in_a_line

    recordings, skipped = tracks.find(paths, Path.cwd() / "table")  # a table here: names relative to this folder
    for line in skipped.lines():
        print(line)
    failed, pictures = 0, name_pictures([track.path for track in recordings])
    for track in recordings:
        try:
            with command_line.without_stderr():  # of libmpg123
                probabilities = tags(track.path)
            print(in_a_line(track.name))
            for prefix, network in NETWORKS.items():
                print(f"  {network}: {most_probable(probabilities, prefix, top)}")
            if plot:
                name = (output or Artifacts(root).results / "taggrams") / pictures[track.path]
                print(f"  taggrams: {draw(track.path, name)}")
        except PipelineError as error:
            print(in_a_line(str(error)), file=sys.stderr)
            failed += 1
    return 1 if failed == len(recordings) else 0


def most_probable(probabilities: dict[str, float], prefix: str, top: int) -> str:
    """Return the most probable tags with this prefix as text, such as "guitar 0.62, classical 0.31"."""
    by_tag = without_prefix(probabilities, prefix)
    ranked = sorted(by_tag, key=lambda tag: (-by_tag[tag], tag))
    return ", ".join(f"{tag} {by_tag[tag]:.2f}" for tag in ranked[:top])


def without_prefix(by_tag: dict, prefix: str) -> dict:
    """Return the values of the tags that begin with this prefix, by the tag without it."""
    return {tag.removeprefix(prefix): value for tag, value in by_tag.items() if tag.startswith(prefix)}


def name_pictures(recordings: Sequence[str]) -> dict[str, str]:
    """Return a name for the pictures of each recording: its own, with a digest of its path if that is ambiguous."""
    from music_featurization.file_tree import in_a_line

    names = {
        recording: in_a_line(Path(recording).stem).encode()[:LONGEST_NAME].decode(errors="ignore")
        for recording in recordings
    }
    counts = Counter(name.casefold() for name in names.values())
    return {
        recording: name if counts[name.casefold()] == 1 else f"{name}_{fingerprint(text=recording)[:8]}"
        for recording, name in names.items()
    }


def draw(recording: str, name: Path) -> Path:
    """Draw the taggrams of a recording, one per network, light and dark, as `<name>_...`; return the first."""
    from music_featurization import tags
    from music_featurization.dataset import clip_names
    from music_featurization.evaluation import figures, taggram

    with command_line.without_stderr():
        probabilities, seconds = tags(recording, every=3.0)
    for prefix, network in NETWORKS.items():
        rows = without_prefix(probabilities, prefix)
        title = f"{clip_names.readable(Path(recording).name)}: tags of {network}"
        for theme in ("light", "dark"):
            files = [name.with_name(f"{name.name}_{prefix}{theme}{ending}") for ending in (".svg", ".png")]
            figures.save(taggram.draw(list(rows.values()), list(rows), seconds, theme=theme, title=title), *files)
    return name.with_name(f"{name.name}_mtt_light.svg")


if __name__ == "__main__":
    command_line.run(main)
