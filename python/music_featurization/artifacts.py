"""Where every artifact is stored, and the rules all of them keep: whole or absent, made once, never mixed.

The folder layout is the contract between the scripts; a script asks `Artifacts(root)` for a path and never spells one.
"""

import contextlib
import csv
import functools
import hashlib
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

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
SETTINGS_FILE = "settings.json"  # in a folder of artifacts: the settings they were made with
HISTORY_FILE = "history.pkl"
SECONDS_OF_A_DAY = 86400
UNFINISHED = ".unfinished-"  # what is still being written; a dot file, so that every listing skips it


class PipelineError(Exception):
    """Something the user can correct. The message says what is wrong, where, and what to do next."""


class _PathBelow:
    """An attribute of `Artifacts`: a path below the root."""

    def __init__(self, path: str):
        self.path = path

    def __get__(self, artifacts: "Artifacts", owner: type) -> Path:
        return artifacts.root / self.path


@dataclass(frozen=True)
class Artifacts:
    """Paths of the pipeline's files under one root folder."""

    root: Path = REPOSITORY

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root).expanduser().absolute())

    # The input: written by the user or by step 0, never changed.
    mp3_files = _PathBelow("datasets/mp3_files")
    annotations = _PathBelow("datasets/annotations_final.csv")
    demo_manifest = _PathBelow("datasets/demo_dataset.json")  # says that step 0 made the data set, and its settings
    # Steps 1 to 4.
    spectrograms = _PathBelow("datasets/spectrograms")
    spectrogram_settings = _PathBelow(f"datasets/spectrograms/{SETTINGS_FILE}")
    failures = _PathBelow("datasets/spectrograms/failures.csv")
    tagged = _PathBelow("datasets/tagged_spectrograms.csv")
    tagged_settings = _PathBelow("datasets/tagged_spectrograms.json")
    genres = _PathBelow("datasets/six_genres.csv")
    genres_settings = _PathBelow("datasets/six_genres.json")
    split_folder = _PathBelow("datasets/train_test_val")
    split_settings = _PathBelow(f"datasets/train_test_val/{SETTINGS_FILE}")
    # Training.
    embeddings = _PathBelow("datasets/embeddings")
    models = _PathBelow("models")
    history = _PathBelow(f"models/{HISTORY_FILE}")
    training_settings = _PathBelow("models/training.json")
    # Testing and the report.
    results = _PathBelow("results")
    prediction = _PathBelow("results/prediction.npy")
    probabilities = _PathBelow("results/prediction_probabilities.npy")
    test_features = _PathBelow("results/music_dataset_testing.csv")
    testing_record = _PathBelow("results/testing.json")
    music_dataset = _PathBelow("results/music_dataset.csv")
    music_dataset_arrays = _PathBelow("results/music_dataset.npz")
    report = _PathBelow("results/res.txt")
    confusion_matrix = _PathBelow("results/conf_matr.png")
    confusion_matrix_svg = _PathBelow("results/conf_matr.svg")
    metrics = _PathBelow("results/metrics.json")
    report_page = _PathBelow("results/report.html")
    style_space_page = _PathBelow("results/style_space.html")
    # One's own music.
    features = _PathBelow("results/features.csv")

    def split(self, part: str) -> Path:
        """Return the CSV of one part of the split: `train`, `val` or `test`."""
        return self.split_folder / f"{part}.csv"

    def curve(self, name: str) -> Path:
        """Return the picture of one curve of the training: `loss` or `accuracy`."""
        return self.results / f"{name}.svg"


# The networks that come with the project; they do not move with --root.
PROVIDED_MODEL = REPOSITORY / "models" / "best_model.h5"
FRONT_END = REPOSITORY / "models" / "front_end.h5"


@contextlib.contextmanager
def replacing(path):
    """Write an artifact so that it is either whole or absent.

    Parameters
    ----------
    path : Path
        The artifact's final name; its folder is made if need be. What killed processes left unfinished in that folder
        is removed when this process first writes there.

    Yields
    ------
    Path
        A temporary name in the same folder, with the same ending. On a clean exit it replaces `path`; on an exception
        it is removed and `path` is left as it was.
    """
    path = Path(path)
    make_folder(path.parent)
    _sweep(path.parent)
    # A digest instead of the name: a long name would not leave room for what is added.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
    temporary = path.with_name(f"{UNFINISHED}{socket.gethostname()}-{os.getpid()}-{digest}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, any number: `Path.mkdir` recurses, and has a limit."""
    missing = []
    while not path.is_dir() and path != path.parent:
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)


def remove_unfinished(folder: Path, *, below: bool = True) -> None:
    """Remove what killed processes left unfinished: on this machine, or on any a day ago.

    Parameters
    ----------
    folder : Path
    below : bool
        In the folders below it too. Links are not followed.
    """
    folders = [folder]
    while folders:
        folder = folders.pop()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(folder) as entries:
            for entry in list(entries):
                if below and entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.name.startswith(UNFINISHED):
                    _remove_if_unfinished(Path(entry.path))


def _remove_if_unfinished(path):
    mark = f"{UNFINISHED}{socket.gethostname()}-"
    pid = path.name.removeprefix(mark).split("-")[0]
    ours = path.name.startswith(mark) and pid.isdigit()
    with contextlib.suppress(FileNotFoundError):  # its process has finished it meanwhile
        if not _alive(int(pid)) if ours else time.time() - path.stat().st_mtime > SECONDS_OF_A_DAY:
            path.unlink()


@functools.cache  # once per process: a folder of many thousands of files takes a while to list
def _sweep(folder):
    remove_unfinished(folder, below=False)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write_text(path, text):
    """Write UTF-8 text with `\\n` line ends as a whole artifact; a name's byte that is not UTF-8 becomes `\\udcNN`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path, content):
    """Write a dict as an indented JSON artifact."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, made_by: str, **kinds: type) -> dict:
    """Read a JSON artifact, which is always an object.

    Parameters
    ----------
    path : Path
        The artifact.
    made_by : str
        The script that makes it, for the error message.
    **kinds : type
        Type that the value of a key must have; `list` is a list of texts. A key may be absent if None is of that type.

    Returns
    -------
    dict

    Raises
    ------
    PipelineError
        If it is missing or damaged, is no object, or a value is of another type.
    """
    require(path, made_by)
    again = f"Delete it and run {made_by} again."
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise PipelineError(f"{path} is not readable JSON ({_short(error)}). {again}") from error
    if not isinstance(content, dict):
        raise PipelineError(f"{path} is not a JSON object. {again}")
    for key, kind in kinds.items():
        value = content.get(key)
        texts = value if isinstance(value, list) else []
        if not isinstance(value, kind) or not all(isinstance(text, str) for text in texts):
            raise PipelineError(f"{path} has no valid {key!r} in it. {again}")
    return content


def read_genres(path: Path, made_by: str) -> list[str]:
    """Genres in label order, from the record of step 3 or 4.

    Parameters
    ----------
    path : Path
        Beside the artifact; see `record_provenance`.
    made_by : str
        The script that makes it, for the error message.

    Returns
    -------
    list of str

    Raises
    ------
    PipelineError
        If the file is missing or damaged, or does not list the genres.
    """
    genres = read_json(path, made_by, settings=dict)["settings"].get("genres")
    if not (isinstance(genres, list) and genres and all(isinstance(genre, str) for genre in genres)):
        raise PipelineError(f"{path} does not list the genres. Delete it and run {made_by} again.")
    return genres


def read_array(path: Path, made_by: str, dimensions: int) -> "numpy.ndarray":
    """Read a .npy artifact of numbers.

    Parameters
    ----------
    path : Path
        The artifact. No more memory is used than the file has bytes, whatever its header says.
    made_by : str
        The script that makes it, for the error message.
    dimensions : int
        How many it must have.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    PipelineError
        If the file is missing or damaged, or is another kind of array.
    """
    import numpy as np

    require(path, made_by)
    again = f"Delete it and run {made_by} again."
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # the header is compared with the file's size
        if not isinstance(array, np.ndarray):
            raise ValueError("it is a .npz file")
    except OSError:
        raise
    except Exception as error:  # a damaged header can raise almost anything
        raise PipelineError(f"{path} is not a readable array ({_short(error)}). {again}") from error
    if array.ndim != dimensions or array.dtype.kind not in "iuf":
        what = f"{array.dtype} in {array.ndim} dimensions instead of numbers in {dimensions}"
        raise PipelineError(f"{path} is not a readable array ({what}). {again}")
    return np.array(array)


def read_arrays(path: Path, made_by: str, required: dict[str, tuple[str, int]]) -> "dict[str, numpy.ndarray]":
    """Read a .npz artifact.

    Parameters
    ----------
    path : Path
        The artifact.
    made_by : str
        The script that makes it, for the error message.
    required : dict of str to (str, int)
        Kinds (of `numpy.dtype.kind`) and number of dimensions of the arrays that must be in it. Those with dimensions
        must have one length.

    Returns
    -------
    dict of str to numpy.ndarray
        All arrays of the file.

    Raises
    ------
    PipelineError
        If the file is missing or damaged, or an array is missing or of another kind.
    """
    import numpy as np

    require(path, made_by)
    try:
        with np.load(path, allow_pickle=False) as saved:
            content = {key: saved[key] for key in saved.files}
        wrong = [key for key, of in required.items() if key not in content or not _is_of(content[key], *of)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} missing or of another kind")
        if len({len(content[key]) for key, (_, dimensions) in required.items() if dimensions}) > 1:
            raise ValueError(f"{', '.join(required)} are not of one length")
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # a damaged zip file can raise almost anything
        raise PipelineError(
            f"{path} is not a readable table of arrays ({_short(error)}). Delete it and run {made_by} again."
        ) from error
    return content


def _is_of(array, kinds, dimensions):
    return array.dtype.kind in kinds and array.ndim == dimensions


def _short(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def require(path, made_by):
    """Raise a PipelineError that names the script to run if `path` does not exist."""
    if not Path(path).exists():
        raise PipelineError(f"{path} does not exist. Run {made_by} first.")


def write_table(path, table):
    """Write a pandas.DataFrame as a CSV artifact: UTF-8, comma-separated, `\\n`, no index."""
    text = table.to_csv(index=False, lineterminator="\n")
    if "\r" in text:  # part of a name; Python 3.11 leaves it unquoted, and readers take it for the end of a line
        text = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    write_text(path, text)


def read_table(path, columns, made_by):
    """Read a CSV artifact with a header; every field is text, exactly as in the file.

    Parameters
    ----------
    path : Path
        The artifact.
    columns : sequence of str
        The columns it must have.
    made_by : str
        The script that makes it, for the error message.

    Returns
    -------
    pandas.DataFrame
        All columns as str, except `label`, an int.

    Raises
    ------
    PipelineError
        If the file is missing, is not a CSV, lacks a column, or has a clip_id or label that is not a whole number.
    """
    import pandas

    require(path, made_by)
    again = f"Delete it and run {made_by} again."
    try:
        # An artist may be called "nan" or "NA": nothing is missing unless it is empty.
        table = pandas.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (ValueError, pandas.errors.ParserError) as error:
        raise PipelineError(f"{path} is not a readable CSV ({_short(error)}). {again}") from error
    if table.isna().any(axis=None) or not isinstance(table.index, pandas.RangeIndex):
        raise PipelineError(f"{path} has rows with more or fewer fields than the header. {again}")
    missing = [column for column in columns if column not in table]
    if missing:
        raise PipelineError(f"{path} lacks the column {', '.join(missing)}. {again}")
    for column in {"clip_id", "label"} & set(columns):
        wrong = ~table[column].map(str).str.fullmatch(r"[0-9]{1,18}")
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise PipelineError(
                f"{path}, row {row + 1}: {column} is {table[column].iloc[row]!r}, not a whole number. {again}"
            )
    return table.astype({"label": int}) if "label" in table else table


def fingerprint(*paths, text=""):
    """Short SHA-256 over the contents of files, and a text: tells whether an input has changed since it was used."""
    digest = hashlib.sha256(os.fsencode(text))
    for path in paths:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def is_up_to_date(outputs, settings_file, settings, inputs, overwrite=False):
    """Tell whether a step's outputs exist, made with these settings from these inputs.

    Parameters
    ----------
    outputs : list of Path
        The step's artifacts.
    settings_file : Path
        The JSON file `record_provenance` wrote beside them.
    settings : dict
        The settings of this run.
    inputs : str
        Fingerprint of what the outputs are derived from.
    overwrite : bool
        Make them again whatever exists.

    Returns
    -------
    bool
        True when nothing is to do. False when something is missing, was made from other inputs, or `overwrite` is set.

    Raises
    ------
    PipelineError
        If the outputs were made with other settings and `overwrite` is not set.
    """
    if overwrite or not all(output.exists() for output in outputs) or not settings_file.exists():
        return False
    made = read_json(settings_file, "the same command", settings=dict)
    require_same_settings(outputs[0], made["settings"], settings)
    return made.get("inputs") == inputs


def require_same_settings(what, made, asked):
    """Raise a PipelineError that names both settings if they differ.

    Parameters
    ----------
    what : Path
        The artifact in question.
    made, asked : dict
        The settings it was made with, and those of this run.
    """
    if made == asked:
        return
    made = made if isinstance(made, dict) else {}
    differing = [key for key in {**made, **asked} if made.get(key) != asked.get(key)]
    of = {
        name: ", ".join(f"{key} = {settings.get(key)}" for key in differing)
        for name, settings in (("made", made), ("asked", asked))
    }
    raise PipelineError(
        f"{what} was made with other settings ({of['made']}) than this run's ({of['asked']}). "
        "Run with the settings it was made with, give --overwrite to make it again, or use another --root."
    )


def record_provenance(settings_file, settings, inputs):
    """Write down the settings and the fingerprint of the inputs of a step's outputs, for `is_up_to_date`."""
    write_json(settings_file, {"settings": settings, "inputs": inputs})
