"""Step 2: the genre and instrument tags of every clip that has a spectrogram.

    python3 2_assign_genre.py
    python3 2_assign_genre.py --merge-synonyms          (opera + operatic, jazz + jazzy, rock + hard rock, ...)
    python3 2_assign_genre.py --genres-from-folders     (no annotations: mp3_files/<genre>/*.mp3)

Reads datasets/annotations_final.csv once, writes datasets/tagged_spectrograms.csv: one row per clip and tag.
"""

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.artifacts import (
    STEP_1,
    Artifacts,
    PipelineError,
    fingerprint,
    is_up_to_date,
    record_provenance,
    write_table,
)
from music_featurization.dataset import tags
from music_featurization.dataset.spectrogram_folder import list_spectrograms, spectrogram_name

LISTED = 20  # clips outside a folder that are named


def main(argv=None):
    args = parse(argv)
    paths = Artifacts(args.root)
    spectrograms = found_spectrograms(paths, needed=args.genres_from_folders)
    settings = {"merge_synonyms": args.merge_synonyms, "genres_from_folders": args.genres_from_folders}
    annotations_file = [] if args.genres_from_folders or not paths.annotations.exists() else [paths.annotations]
    inputs = fingerprint(*annotations_file, text="\n".join(sorted(spectrograms)))
    settings_file = paths.tagged_settings
    if is_up_to_date([paths.tagged], settings_file, settings, inputs, args.overwrite):
        print(f"{paths.tagged} is up to date, nothing to do")
        return
    table = folder_tags(spectrograms) if args.genres_from_folders else annotated_tags(paths, spectrograms, args)
    if not len(table):
        raise PipelineError(
            f"No clip of {paths.annotations} that has a spectrogram has a genre or instrument tag "
            "(music_featurization.dataset.genres lists them). Check its columns, and run this step again."
        )
    settings_file.unlink(missing_ok=True)  # a table that is new does not pass for one of the old settings
    write_table(paths.tagged, table)
    record_provenance(settings_file, settings, inputs)
    print(f"{len(table)} tags of {table['clip_id'].nunique()} clips: {paths.tagged}")


def parse(argv):
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--merge-synonyms", action="store_true", help="count opera and operatic as one genre, and so on"
    )
    parser.add_argument("--genres-from-folders", action="store_true", help="use the first folder's name as the genre")
    parser.add_argument("--overwrite", action="store_true", help="make the table again, also with other settings")
    return parser.parse_args(argv)


def found_spectrograms(paths, needed):
    """Spectrograms at hand; an empty set where there is neither music nor spectrograms, only annotations."""
    found = set(list_spectrograms(paths.spectrograms)) if paths.spectrograms.is_dir() else set()
    if not found and (needed or paths.mp3_files.exists()):
        raise PipelineError(f"{paths.spectrograms} holds no spectrogram. Run {STEP_1} first.")
    return found


def folder_tags(spectrograms):
    loose = sorted(path for path in spectrograms if "/" not in path)
    if len(loose) == len(spectrograms):
        raise PipelineError(
            f"{loose[0]} is in no folder that names its genre ({len(loose)} such clips). "
            f"Put the clips into mp3_files/<genre>/ and run {STEP_1} again."
        )
    name_some("in no folder that names a genre, skipped", loose, most=LISTED)
    table = tags.folder_tag_table(spectrograms)
    print("\n".join(f"{genre}: {count} clips" for genre, count in table["tag"].value_counts().sort_index().items()))
    return table


def annotated_tags(paths, spectrograms, args):
    from music_featurization.dataset import annotations

    clips, tag_columns = annotations.read(paths.annotations)
    clips["spectrogram"] = clips["mp3_path"].map(spectrogram_name)
    if spectrograms:
        clips["spectrogram"] = annotations.find_spectrograms(clips, spectrograms, paths.annotations)
        there = clips["spectrogram"].isin(spectrograms)
        name_some("annotated, but without a spectrogram", clips["mp3_path"][~there])
        name_some("with a spectrogram, but not annotated", sorted(spectrograms - set(clips["spectrogram"])))
        clips, tag_columns = clips[there], tag_columns[there]
    else:
        print(f"There are no spectrograms yet: all annotated clips are listed. Run {STEP_1} to train.")
    if args.merge_synonyms:
        tag_columns, added = tags.merge_synonyms(tag_columns)
        print("synonyms add " + ", ".join(f"{count} clips to {genre}" for genre, count in added.items()))
    return tags.tag_table(clips, tag_columns)


def name_some(what, names, most=3):
    if len(names):
        print(f"{len(names)} clips {what}: {', '.join(list(names)[:most])}{', ...' if len(names) > most else ''}")


if __name__ == "__main__":
    command_line.run(main)
