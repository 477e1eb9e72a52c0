"""Tables of features: one row per clip of the data set, per recording of one's own, or per time step of one.

An .npz contains one array per column and the features:

| array | content |
|---|---|
| `features` | float32, shape (N, 512) |
| `clip_id`, `spectrogram` | tables of 2-testing.py and 3-format_dataset.py only: as in the split's CSVs |
| `recording` | path with `/`, relative to `folder`, or absolute; "" where it is not known |
| `genre` | tables of 2-testing.py and 3-format_dataset.py: the true one; of featurize.py: the predicted one |
| `model` | one text: fingerprint of the network, "" where it is not known |
| `folder` | one text: folder of the recordings, relative to the file's |

and others of its writer, see python/featurize.py. That script writes the same columns to .csv and .parquet, where
`recording` is called `path`. The CSVs that the StyleSpace experiment reads have no header: a row of 2-testing.py
contains `<genre>.<clip_id>_<name>.npy` and the features, a row of 3-format_dataset.py the genre's code,
`<clip_id>_<name>` and the features. The published original wrote `.jpg` instead of `.npy`.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from music_featurization.artifacts import (
    FEATURIZE,
    TESTING,
    PipelineError,
    read_arrays,
    replacing,
    require,
    write_table,
)
from music_featurization.dataset.clip_names import stem
from music_featurization.dataset.genres import GENRES

if TYPE_CHECKING:
    import pandas

FORMATS = {".csv": b"path,", ".npz": b"PK", ".parquet": b"PAR1"}  # how files of featurize.py begin
ENDINGS = (".npy", ".jpg")
MADE_BY = f"{TESTING} or {FEATURIZE}"
FEATURE, NUMBERS = "feature_", ("probability_", "mtt_", "msd_", "feature_")  # columns of float32 begin with these
PER_FILE = ("model", "source", "split")  # columns of one value: in the .npz a single text
TRACK_COLUMNS = ("recording", "seconds", "genre", "model", "note", "bytes", "modified")


class FeatureTable(NamedTuple):
    """N rows of features.

    `rows` has the columns of the file except the features, `features` is float32, shape (N, D), and `folder` is the
    folder to which recordings are relative.
    """

    rows: "pandas.DataFrame"
    features: np.ndarray
    folder: Path

    @property
    def are_tracks(self) -> bool:
        """Whether the rows are recordings of one's own, and not clips of the data set."""
        return "clip_id" not in self.rows

    @property
    def names(self) -> list[str]:
        """`<clip_id>_<name>` of each clip, or the path in the table of each recording."""
        if self.are_tracks:
            return self.rows["recording"].tolist()
        return [clip_name(*row) for row in zip(self.rows["clip_id"], self.rows["spectrogram"], strict=True)]

    @property
    def genres(self) -> list[str]:
        """Genre of each row."""
        return self.rows["genre"].tolist()

    @property
    def recordings(self) -> list[str]:
        """Absolute path of each row's recording, "" where it is not known."""
        folder = os.path.realpath(self.folder)
        return [path and os.path.normpath(os.path.join(folder, path)) for path in self.rows["recording"]]

    @property
    def model_fingerprint(self) -> str:
        """Fingerprint of the network that made the features, "" where it is not known."""
        return self.rows["model"].iloc[0] if len(self.rows) else ""

    def select(self, chosen: np.ndarray) -> "FeatureTable":
        """Return the rows of a mask, or of row numbers."""
        index = np.asarray(chosen)
        return self._replace(rows=self.rows.iloc[index].reset_index(drop=True), features=self.features[index])


def concatenate(tables: Sequence[FeatureTable]) -> FeatureTable:
    """Join one or more tables of one folder."""
    import pandas

    rows = pandas.concat([table.rows for table in tables], ignore_index=True)
    return FeatureTable(rows, np.concatenate([table.features for table in tables]), tables[0].folder)


def require_format(path: Path) -> None:
    """Raise a PipelineError if the name has the ending of no format, or the format needs a package."""
    if path.suffix not in FORMATS:
        raise PipelineError(f"{path}: the name's ending chooses the format; it is one of {', '.join(FORMATS)}.")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise PipelineError(
                f"{path}: .parquet needs pyarrow, which is not installed. Run: python3 -m pip install pyarrow, "
                "or choose a name that ends in .csv or .npz."
            ) from error


def require_replaceable(path: Path) -> None:
    """Raise a PipelineError if a file exists that is no table, perhaps damaged: --overwrite would destroy it."""
    if path.is_file() and not _begins(path, FORMATS[path.suffix]):
        raise PipelineError(f"{path} is no table of {FEATURIZE}, and is not replaced. Give another --out.")


def _begins(path: Path, beginning: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(beginning)) == beginning


def write(path: Path, table: FeatureTable) -> None:
    """Write a table in the format of the name's ending; float32 numbers are read back exactly from each."""
    if path.suffix == ".npz":
        folder = os.path.relpath(os.path.realpath(table.folder), os.path.realpath(path.parent)).replace(os.sep, "/")
        arrays: dict[str, Any] = {str(name): _array(table.rows[name]) for name in table.rows}
        arrays |= {name: arrays[name][:1].reshape(()) for name in PER_FILE if name in arrays}
        with replacing(path) as temporary:
            np.savez_compressed(temporary, features=table.features.astype(np.float32), folder=folder, **arrays)
        return
    frame = _frame(table)
    if path.suffix == ".csv":
        numbers = [name for name in map(str, frame) if name.startswith(NUMBERS)]
        # 9 significant digits give a float32 back; pandas alone would write fewer for some, more for others.
        write_table(path, frame.assign(**{name: frame[name].map("{:.9g}".format) for name in numbers}))
        return
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False)


def _array(column: "pandas.Series") -> np.ndarray:
    return column.to_numpy() if column.dtype.kind in "biuf" else column.to_numpy(str)


def _frame(table: FeatureTable) -> "pandas.DataFrame":
    import pandas

    names = [f"{FEATURE}{number:03d}" for number in range(table.features.shape[1])]
    features = pandas.DataFrame(table.features, columns=names)
    return pandas.concat([table.rows.rename(columns={"recording": "path"}), features], axis=1)


def read(path: str | os.PathLike, classes: Sequence[str] = GENRES) -> FeatureTable:
    """Read an .npz, a .csv or .parquet of featurize.py, or a CSV of 2-testing.py, which has no header.

    `classes` are the genres with which the rows of a CSV without a header can begin. Raises a PipelineError if the file
    is missing, is not such a table, or has no row, features of several networks, or features that are not finite.
    """
    path = Path(path)
    require(path, MADE_BY)
    if path.suffix == ".npz":
        table = _read_npz(path)
    elif path.suffix == ".parquet" or _begins(path, FORMATS[".csv"]):
        table = _read_frame(path)
    else:
        table = _read_without_header(path, classes)
    if table.features.shape[1] < 2:
        raise _unreadable(path, "it lacks features")
    models = table.rows["model"].unique().tolist()
    if not models:
        raise PipelineError(f"{path} contains no row. Run {MADE_BY} again.")
    if len(models) > 1:
        raise PipelineError(
            f"{path} contains features of several networks ({', '.join(models)}). Make it again with --overwrite."
        )
    if not np.isfinite(table.features).all():
        raise PipelineError(f"{path} contains features that are not finite numbers. Run {MADE_BY} again.")
    return table


def _read_npz(path: Path) -> FeatureTable:
    import pandas

    required = {"features": ("f", 2), "recording": ("U", 1), "genre": ("U", 1), "model": ("U", 0), "folder": ("U", 0)}
    arrays = read_arrays(path, MADE_BY, required)
    features, folder = arrays.pop("features").astype(np.float32), path.parent / str(arrays.pop("folder"))
    columns = {name: array if array.ndim else array.item() for name, array in arrays.items()}
    try:
        rows = pandas.DataFrame(columns, index=range(len(features)))
    except ValueError as error:
        raise _unreadable(path, error) from error
    _require_columns(path, rows)
    return FeatureTable(rows, features, folder)


def _read_frame(path: Path) -> FeatureTable:
    """Read featurize.py's table in .csv or .parquet."""
    import pandas

    try:
        if path.suffix == ".parquet":
            require_format(path)
            frame = pandas.read_parquet(path)
        else:
            header = pandas.read_csv(path, nrows=0, encoding="utf-8").columns
            types: dict[str, Any] = {name: np.float32 if name.startswith(NUMBERS) else str for name in header}
            types |= {"start": float, "end": float, "seconds": float, "bytes": np.int64}
            frame = pandas.read_csv(path, dtype=types, keep_default_na=False, encoding="utf-8")
        frame = frame.rename(columns={"path": "recording"})
        names = [name for name in map(str, frame) if name.startswith(FEATURE)]
        features = frame[names].to_numpy(np.float32)
    except (ValueError, KeyError, IndexError, TypeError, pandas.errors.ParserError) as error:
        raise _unreadable(path, error) from error
    rows = frame.drop(columns=names)
    _require_columns(path, rows)
    return FeatureTable(rows, features, path.parent)


def _require_columns(path: Path, rows: "pandas.DataFrame") -> None:
    required = ("clip_id", "spectrogram") if "clip_id" in rows else TRACK_COLUMNS
    if missing := [name for name in required if name not in rows]:
        raise _unreadable(path, f"it lacks {', '.join(missing)}")


def _unreadable(path: Path, reason: object) -> PipelineError:
    return PipelineError(
        f"{path} is not a readable table of {MADE_BY} ({reason}). Give such a table, or make it again with --overwrite."
    )


def require_same_model(fingerprint: str, other: str, reason: str) -> None:
    """Raise a PipelineError with this reason if two networks differ; the fingerprint "" is an unknown network."""
    if fingerprint and other and fingerprint != other:
        raise PipelineError(f"{reason} (networks {fingerprint} and {other}): their features cannot be compared.")


# The CSVs without a header


def clip_name(clip_id: object, spectrogram: str) -> str:
    """Return `<clip_id>_<name>`."""
    return f"{clip_id}_{stem(spectrogram)}"


def row_name(genre: str, clip_id: object, spectrogram: str) -> str:
    """Return the first field of a row of 2-testing.py: `<genre>.<clip_id>_<name>.npy`."""
    return f"{genre}.{clip_name(clip_id, spectrogram)}.npy"


def split_row_name(name: str, classes: Sequence[str]) -> tuple[str, str]:
    """Split the first field of a row of 2-testing.py into the genre, one of the classes, and `<clip_id>_<name>`.

    A genre may contain a dot. Raises a ValueError if the name does not begin with one of the genres.
    """
    genres = [genre for genre in classes if name.startswith(f"{genre}.")]
    if not genres:
        raise ValueError(f"{name[:60]!r} does not begin with one of the genres {', '.join(classes)}")
    genre = max(genres, key=len)
    clip = name.removeprefix(f"{genre}.")
    ending = next((ending for ending in ENDINGS if clip.endswith(ending)), "")
    return genre, clip.removesuffix(ending)


def write_without_header(path: Path, leading: Sequence[tuple], features: np.ndarray) -> None:
    """Write a CSV without a header: N tuples of leading fields, and float32 features of shape (N, D).

    The features are written with 9 significant digits, from which float32 is read back exactly.
    """
    numbers = ",".join(["%.9g"] * features.shape[1])
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        for fields, row in zip(leading, features, strict=True):
            # csv.writer for every number would take minutes at 25,000 clips.
            file.write(",".join(map(_quoted, fields)) + "," + numbers % tuple(row.tolist()) + "\n")


def _quoted(field: object) -> str:
    text = str(field)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def _read_without_header(path: Path, classes: Sequence[str]) -> FeatureTable:
    import pandas

    names, features = [], []
    for line, row in _rows(path):
        try:
            names.append(split_row_name(row[0], classes))
            features.append(np.array([float(number) for number in row[1:]], dtype=np.float32))
        except ValueError as error:
            raise _bad_row(path, line, error) from error
        if not len(features[-1]) or len(features[-1]) != len(features[0]):
            raise _bad_row(path, line, f"{len(features[-1])} features where the first row has {len(features[0])}")
    if not names:
        raise PipelineError(f"{path} is empty. Run {TESTING} --overwrite.")
    genres, clips = zip(*names, strict=True)
    ids, _, stems = zip(*(clip.partition("_") for clip in clips), strict=True)
    columns = {"clip_id": ids, "spectrogram": [f"{name}.npy" for name in stems], "recording": "", "genre": genres}
    return FeatureTable(pandas.DataFrame({**columns, "model": ""}), np.stack(features), path.parent)


def read_row_names(path: Path) -> list[str]:
    """Read the first field of every row of a CSV of 2-testing.py."""
    require(path, TESTING)
    return [row[0] for _, row in _rows(path)]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise _bad_row(path, reader.line_num + 1, error) from error


def _bad_row(path: Path, line: int, reason: object) -> PipelineError:
    return _unreadable(path, f"line {line}: {reason}")
