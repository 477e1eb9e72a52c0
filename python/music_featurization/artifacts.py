"""Define the names of all artifacts; write them whole or not at all, and never mix settings."""

import contextlib
import csv
import functools
import hashlib
import io
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import UnionType

    import numpy
    import pandas

REPOSITORY = Path(__file__).resolve().parents[2]
# The scripts, as messages name them.
STEP_0 = "datasets_utils/0_make_demo_dataset.py"
STEP_1 = "datasets_utils/1_generate_spectrograms.py"
STEP_2 = "datasets_utils/2_assign_genre.py"
STEP_3 = "datasets_utils/3_remove_double_with_priority.py"
STEP_4 = "datasets_utils/4_save_train_and_test.py"
TRAINING = "python/1-training.py"
PLOT = "results_utils/plot_loss_accuracy_curves.py"
TESTING = "python/2-testing.py"
FORMAT = "python/3-format_dataset.py"
PREDICTION = "results_utils/manage_prediction.py"
REPORT = "results_utils/make_report.py"
MAP = "results_utils/plot_style_space.py"
WALK = "results_utils/walk_style_space.py"
FEATURIZE = "python/featurize.py"
SIMILAR = "python/similar.py"
TAG = "python/tag.py"
EXPORT = "python/export.py"
SETTINGS_FILE = "settings.json"  # in a folder of artifacts: the settings they were made with
HISTORY_FILE = "history.pkl"
SECONDS_OF_A_DAY = 86400
UNFINISHED = ".unfinished-"  # begins the name of a file that is being written: a dot file, which every listing skips


class PipelineError(Exception):
    """An error that the user can correct: the message says what is wrong, where, and what to do next."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, which can have many, or the name of its type if it is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


class Artifacts:
    """The paths of the pipeline's files under one root folder."""

    def __init__(self, root: str | os.PathLike = REPOSITORY):
        self.root = root = Path(root).expanduser().absolute()
        # The input: written by the user or by step 0, never changed.
        self.mp3_files = root / "datasets/mp3_files"
        self.annotations = root / "datasets/annotations_final.csv"
        self.demo_manifest = root / "datasets/demo_dataset.json"  # says that step 0 made the data set, and its settings
        # Steps 1 to 4.
        self.spectrograms = root / "datasets/spectrograms"
        self.spectrogram_settings = root / f"datasets/spectrograms/{SETTINGS_FILE}"
        self.failures = root / "datasets/spectrograms/failures.csv"
        self.tagged = root / "datasets/tagged_spectrograms.csv"
        self.tagged_settings = root / "datasets/tagged_spectrograms.json"
        self.genres = root / "datasets/six_genres.csv"
        self.genres_settings = root / "datasets/six_genres.json"
        self.split_folder = root / "datasets/train_test_val"
        self.split_settings = root / f"datasets/train_test_val/{SETTINGS_FILE}"
        # Training.
        self.embeddings = root / "datasets/embeddings"
        self.models = root / "models"
        self.history = root / f"models/{HISTORY_FILE}"
        self.training_settings = root / "models/training.json"
        # Testing and the report.
        self.results = root / "results"
        self.prediction = root / "results/prediction.npy"
        self.probabilities = root / "results/prediction_probabilities.npy"
        self.test_features = root / "results/music_dataset_testing.csv"
        self.testing_record = root / "results/testing.json"
        self.music_dataset = root / "results/music_dataset.csv"
        self.music_dataset_arrays = root / "results/music_dataset.npz"
        self.report = root / "results/res.txt"
        self.confusion_matrix = root / "results/conf_matr.png"
        self.confusion_matrix_svg = root / "results/conf_matr.svg"
        self.metrics = root / "results/metrics.json"
        self.report_page = root / "results/report.html"
        self.style_space_page = root / "results/style_space.html"
        # One's own music.
        self.features = root / "results/features.csv"

    def split(self, part: str) -> Path:
        """Return the CSV of one part of the split: `train`, `val` or `test`."""
        return self.split_folder / f"{part}.csv"

    def curve(self, name: str) -> Path:
        """Return the picture of one curve of the training: `loss` or `accuracy`."""
        return self.results / f"{name}.svg"


# The networks that come with the project, independent of --root.
PROVIDED_MODEL = REPOSITORY / "models" / "best_model.h5"
FRONT_END = REPOSITORY / "models" / "front_end.h5"
SOUND_FONT = "TimGM6mb.sf2"  # of the demo, by default; it comes with pretty_midi


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name that replaces `path` after the block; after an exception, `path` is as it was.

    The name has the same ending and is in the same folder, which is made if it is missing.
    """
    path = Path(path)
    make_folder(path.parent)
    _sweep(path.parent)
    # A digest instead of the name: a long name would leave no room for the host and the process.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    temporary = path.with_name(f"{UNFINISHED}{socket.gethostname()}-{os.getpid()}-{digest}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # A full disk is reported without a name.
        if isinstance(error, OSError) and error.errno and str(error.filename or temporary) == str(temporary):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error  # the message names the artifact
        raise


def make_folder(path: Path) -> None:
    """Make a folder and all missing ones above it, at any depth: `Path.mkdir` is recursive."""
    missing = []
    while not path.is_dir() and path != path.parent:
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)


def remove_unfinished(folder: Path, *, below: bool = True) -> None:
    """Remove the unfinished files of killed processes from a folder and those below it, without following links."""
    folders = [os.fspath(folder)]
    while folders:
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError),
            os.scandir(folders.pop()) as entries,
        ):
            for entry in list(entries):
                if below and entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.name.startswith(UNFINISHED):
                    with contextlib.suppress(FileNotFoundError):  # its process has finished it meanwhile
                        if _is_abandoned(entry):
                            os.unlink(entry.path)


@functools.cache  # listing a folder of many thousands of files takes a while
def _sweep(folder: Path) -> None:
    remove_unfinished(folder, below=False)


def _is_abandoned(entry: os.DirEntry) -> bool:
    """Return whether the process that writes a file is dead; on another machine, whether the file is a day old."""
    # The whole name, as `replacing` makes it: a file of the host "node-12" is none of the process 12 on "node".
    ours = re.match(rf"{re.escape(UNFINISHED + socket.gethostname())}-([0-9]+)-[0-9a-f]{{12}}(\.|$)", entry.name)
    if ours is None or os.name != "posix":
        return time.time() - entry.stat().st_mtime > SECONDS_OF_A_DAY
    try:
        os.kill(int(ours[1]), 0)  # sends nothing; on Windows it would end the process
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        pass
    return False


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with `\\n` line ends; a byte of a file name that is not UTF-8 becomes `\\udcNN`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: Path, content: dict) -> None:
    """Write a dict as indented JSON."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_table(path: Path, table: "pandas.DataFrame") -> None:
    """Write a table as CSV: UTF-8, comma-separated, `\\n`, no index."""
    text = table.to_csv(index=False, lineterminator="\n")
    if "\r" in text:  # in a name; Python 3.11 leaves it unquoted, and readers take it for the end of a line
        header = table.head(0).to_csv(index=False, lineterminator="\n")
        text = header + table.to_csv(index=False, header=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    write_text(path, text)


def write_array(path: Path, array: "numpy.ndarray") -> None:
    """Write an array as .npy."""
    import numpy as np

    content = io.BytesIO()  # np.save to a file hides the reason when the disk is full
    np.save(content, array)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())


def require(path: Path, script: str) -> None:
    """Raise a PipelineError that names the script to run if a path does not exist."""
    if not Path(path).exists():
        raise PipelineError(f"{path} does not exist. Run {script} first.")


@contextlib.contextmanager
def _reading(path: Path, script: str, kind: str) -> Iterator[None]:
    """Convert any error of reading a damaged artifact to a PipelineError that names the script to run again."""
    require(path, script)
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # the header of an array or a zip file can raise almost anything if it is damaged
        raise PipelineError(f"{path} is not {kind} ({first_line(error)}). Delete it and run {script} again.") from error


def read_json(path: Path, script: str, **kinds: "type | UnionType") -> dict[str, Any]:
    """Read a JSON object; raise a PipelineError that names the script to run if it is missing or damaged.

    Parameters
    ----------
    **kinds : type
        Type that the value of a key must have; `list` is a list of str. A key may be absent if None is of that type.
    """
    with _reading(path, script, "readable JSON"):
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
        for key, kind in kinds.items():
            value = content.get(key)
            items = value if isinstance(value, list) else []
            if not isinstance(value, kind) or not all(isinstance(item, str) for item in items):
                raise ValueError(f"{key!r} is missing or of another type")
    return content


def read_genres(path: Path, script: str) -> list[str]:
    """Read the genres in label order from the record of step 3 or 4; see `read_json`."""
    genres = read_json(path, script, settings=dict)["settings"].get("genres")
    with _reading(path, script, "readable JSON"):
        if not (isinstance(genres, list) and genres and all(isinstance(genre, str) for genre in genres)):
            raise ValueError("it does not list the genres")
    return genres


def read_array(path: Path, script: str, dimensions: int) -> "numpy.ndarray":
    """Read a .npy artifact of numbers, with no more memory than the file has bytes; see `read_json`."""
    import numpy as np

    with _reading(path, script, "a readable array"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # compares the header with the size of the file
        if not isinstance(array, np.ndarray) or array.ndim != dimensions or array.dtype.kind not in "iuf":
            raise ValueError(f"numbers in {dimensions} dimensions are needed")
    return np.array(array)


def read_arrays(path: Path, script: str, required: dict[str, tuple[str, int]]) -> "dict[str, numpy.ndarray]":
    """Read a .npz artifact; see `read_json`.

    Parameters
    ----------
    required : dict of str to (str, int)
        Kinds (of `numpy.dtype.kind`) and number of dimensions of the arrays that it must contain. All that have
        dimensions must be of one length.
    """
    import numpy as np

    with _reading(path, script, "a readable table of arrays"):
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        for key, (kinds, dimensions) in required.items():
            if key not in arrays or arrays[key].dtype.kind not in kinds or arrays[key].ndim != dimensions:
                raise ValueError(f"{key} is missing or of another kind")
        if len({len(arrays[key]) for key, (_, dimensions) in required.items() if dimensions}) > 1:
            raise ValueError(f"{', '.join(required)} are not of one length")
    return arrays


def read_table(path: Path, columns: Sequence[str], script: str) -> "pandas.DataFrame":
    """Read a CSV artifact with a header; see `read_json`. Every field is text as in the file; `label` is int."""
    import pandas

    with _reading(path, script, "a readable CSV"):
        # An artist may be called "nan" or "NA": nothing is missing unless it is empty.
        table = pandas.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        if table.isna().any(axis=None) or not isinstance(table.index, pandas.RangeIndex):
            raise ValueError("it has rows with more or fewer fields than the header")
        if missing := [column for column in columns if column not in table]:
            raise ValueError(f"it lacks the column {', '.join(missing)}")
        for column in {"clip_id", "label"} & set(columns):
            wrong = ~table[column].map(str).str.fullmatch(r"[0-9]{1,18}")
            if wrong.any():
                row = int(wrong.to_numpy().argmax())
                raise ValueError(f"row {row + 1}: {column} is {table[column].iloc[row]!r}, not a whole number")
    return table.astype({"label": int}) if "label" in table else table


def fingerprint(*paths: Path, text: str = "") -> str:
    """Return a short SHA-256 of the contents of files and of a text."""
    digest = hashlib.sha256(os.fsencode(text))
    for path in paths:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def is_up_to_date(
    outputs: Sequence[Path], settings_file: Path, settings: dict, inputs: str, overwrite: bool = False
) -> bool:
    """Return (and print) whether a step's outputs were made from these inputs; False with `overwrite`.

    Raises a PipelineError if `settings_file`, which `recording` wrote, contains other settings.
    """
    if overwrite or not all(output.exists() for output in outputs) or not settings_file.exists():
        return False
    record = read_json(settings_file, "the same command", settings=dict)
    require_same_settings(outputs[0], record["settings"], settings)
    if record.get("inputs") != inputs:
        return False
    print(f"{outputs[0]} is up to date, nothing to do")
    return True


@contextlib.contextmanager
def recording(settings_file: Path, settings: dict, inputs: str) -> Iterator[None]:
    """Record the settings and the inputs' fingerprint of the outputs that the block writes, after they are written."""
    settings_file.unlink(missing_ok=True)
    yield
    write_json(settings_file, {"settings": settings, "inputs": inputs})


def require_same_settings(path: Path, recorded: object, wanted: dict) -> None:
    """Raise a PipelineError that names both settings if an artifact was made with other settings than this run's."""
    if recorded == wanted:
        return
    recorded = recorded if isinstance(recorded, dict) else {}
    differing = [key for key in {**recorded, **wanted} if recorded.get(key) != wanted.get(key)]
    theirs, ours = (", ".join(f"{key} = {settings.get(key)}" for key in differing) for settings in (recorded, wanted))
    raise PipelineError(
        f"{path} was made with other settings ({theirs}) than this run's ({ours}). "
        "Run with the settings it was made with, give --overwrite to make it again, or use another --root."
    )
