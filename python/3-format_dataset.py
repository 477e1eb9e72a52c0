"""Write the features of the test set in the format of the StyleSpace experiment.

    python3 3-format_dataset.py
    python3 3-format_dataset.py --split all     (all clips, after 2-testing.py --split all: the experiment needs 50)

Reads results/music_dataset_testing.csv, or with --split music_dataset_<split>.csv. Writes results/music_dataset.csv (no
header; the genre's code, `<clip_id>_<name>`, the features) and the same as music_dataset.npz.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import REPOSITORY, TESTING, Artifacts, PipelineError, fingerprint, require
from music_featurization.dataset.genres import style_space_codes
from music_featurization.evaluation import results
from music_featurization.feature_tables import feature_table


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument("--split", choices=results.PARTS, default="test", help="clips to write")
    parser.add_argument("--overwrite", action="store_true", help="write again even if nothing has changed")
    format_dataset(**vars(parser.parse_args(argv)))
    return 0


def format_dataset(*, root: Path = REPOSITORY, split: str = "test", overwrite: bool = False) -> None:
    """Write music_dataset.csv and .npz from the features of a part of the split, unless that is done already."""
    artifacts = Artifacts(root)
    table, arrays = results.files(artifacts, split).features, artifacts.music_dataset_arrays
    made_by = TESTING + ("" if split == "test" else f" --split {split}")
    require(table, made_by)
    source = fingerprint(table)
    if not overwrite and artifacts.music_dataset.exists() and arrays.exists() and source_of(arrays) == source:
        print(f"nothing to do: {artifacts.music_dataset} was made from this {table.name}")
        return
    classes = results.classes_of(artifacts)
    content = feature_table.read(results.newest_table(artifacts, split), classes)
    codes, genres = style_space_codes(classes), content.genres
    if unknown := sorted(set(genres) - set(codes)):
        raise PipelineError(
            f"{table} has the genre {', '.join(unknown)}, which is none of {', '.join(classes)}. "
            f"Run {made_by} --overwrite."
        )
    coded = [(codes[genre], clip) for genre, clip in zip(genres, content.names, strict=True)]
    arrays.unlink(missing_ok=True)  # written last: it says what both files were made from
    feature_table.write_without_header(artifacts.music_dataset, coded, content.features)
    model = content.model_fingerprint or results.read_record(artifacts, split).get("model", "")
    rows = content.rows.assign(model=model, source=source, split=split)
    feature_table.write(arrays, content._replace(rows=rows))
    counts = ", ".join(f"{genre} ({codes[genre]}) {genres.count(genre)}" for genre in classes)
    part = "all parts" if split == "all" else f"the {split} part"
    size = f"{command_line.plural(len(genres), 'clip')} of {part} with {content.features.shape[1]} features"
    print(f"{size}: {counts}: {artifacts.music_dataset}")


def source_of(arrays: Path) -> str | None:
    """Return the fingerprint of the CSV that music_dataset.npz was made from."""
    rows = feature_table.read(arrays).rows
    return rows["source"].iloc[0] if "source" in rows else None


if __name__ == "__main__":
    command_line.run(main)
