"""Classify the test set and write predictions and features.

    python3 2-testing.py
    python3 2-testing.py --model ../models/epoch_07_0.8125.h5
    python3 2-testing.py --split all

Without --model it takes the epoch of lowest validation loss in models/, or the provided best_model.h5 if there is none.
Writes results/prediction.npy, prediction_probabilities.npy, music_dataset_testing.csv (name and features of each
clip), the same table as music_dataset_testing.npz, and testing.json: what they were made from, and the accuracy. With
--split train or all the .npz marks the clips that were in training, and the accuracy of the others is given apart.
"""

from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization import workers
from music_featurization.artifacts import STEP_1, STEP_4, Artifacts, PipelineError
from music_featurization.dataset import spectrogram_folder, split
from music_featurization.evaluation import commands, test_results
from music_featurization.network import checkpoints, embeddings, networks

NAMED = 5  # how many missing spectrograms a message lists


def main(argv=None):
    parser, args = parse(argv)
    where = Artifacts(args.root)
    files = test_results.files(where, args.split)

    clips, classes = test_results.read_clips(where, args.split), tuple(split.read_classes(where))
    model_file, why = (args.model, "given by --model") if args.model else checkpoints.best(where)
    print(f"model: {model_file} ({why})")
    spectrogram_folder.require_our_settings(where.spectrograms)
    checkpoints.require_compatible(model_file, classes)
    options = commands.given_options(parser, args)
    about = test_results.about_run(where, args.split, model_file, classes, options)
    if not args.overwrite and test_results.is_up_to_date(files, about):
        print(f"nothing to do: the {len(clips)} clips of {args.split} are done with this model ({files.features})")
        return
    spectrograms_of(clips, where)
    embedded = networks.has_provided_front_end(checkpoints.read_about(model_file))
    if embedded:
        embeddings.generate_missing(where, list(clips["spectrogram"]), jobs=workers.cores(), overwrite=args.overwrite)
    folder = where.embeddings if embedded else where.spectrograms
    inputs = [folder / name for name in clips["spectrogram"]]
    probabilities, features = classify(model_file, inputs, args.batch_size, classes, embedded)
    trained = test_results.training_clips(where, about)
    test_results.write(files, clips, classes, probabilities, features, about, trained, where.mp3_files)
    print(test_results.describe(args.split, test_results.accuracies(clips, probabilities, trained), files.features))


def parse(argv):
    parser = command_line.parser(__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE", help="Keras .h5 file; chosen as above if not given")
    parser.add_argument(
        "--split", choices=test_results.PARTS, default="test", help="all but test get files of their own"
    )
    parser.add_argument("--batch-size", type=command_line.positive, default=32, metavar="N", help="clips at a time")
    parser.add_argument("--overwrite", action="store_true", help="do it again even if nothing has changed")
    return parser, parser.parse_args(argv)


def spectrograms_of(clips, where):
    """Spectrogram file of every clip; a PipelineError names those that are missing."""
    if clips.empty:
        raise PipelineError(f"The split has no such clips. Run {STEP_4} on more clips, or give another --split.")
    files = [where.spectrograms / spectrogram for spectrogram in clips["spectrogram"]]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise PipelineError(
            f"{len(missing)} of {len(files)} clips have no spectrogram: {', '.join(missing[:NAMED])}{more}. "
            f"Run {STEP_1} and the steps after it again."
        )
    return files


def classify(model_file, clips, batch_size, classes, embedded):
    """Compute probabilities (N, C) and features (N, 512) of clips, files of spectrograms or of embeddings."""
    from music_featurization.network import prediction

    model = checkpoints.load(model_file, classes)
    with command_line.progress(None, len(clips), "clip") as bar:
        return prediction.predict(
            model, clips, batch_size, progress=lambda done: bar.update(done - bar.n), embedded=embedded
        )


if __name__ == "__main__":
    try:
        command_line.run(main)
    finally:
        workers.end_workers()
