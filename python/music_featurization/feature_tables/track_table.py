"""The table that featurize.py makes of one's own music: its columns, and reading and writing it in three formats.

Columns: `path` (see `tracks`), in a table of windows `start` (s), `seconds` (how much of the track the row covers),
`genre` (the most probable), `model` (fingerprint of the network), `note` (what is wrong with the recording, "" for
most), `bytes` and `modified` (of the file, by which a changed one is noticed), one `probability_<class>` per class,
`feature_000` and so on.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from music_featurization import file_lock
from music_featurization.artifacts import (
    FEATURIZE,
    PipelineError,
    make_folder,
    remove_unfinished,
    replacing,
    write_table,
)
from music_featurization.feature_tables import feature_table, tracks

ENDINGS = (".csv", ".npz", ".parquet")
PROBABILITY, FEATURE = "probability_", "feature_"
ABOUT_FILE = {"note": "", "bytes": 0, "modified": ""}  # columns, and their values in tables made before they were added


def rows(leading, probabilities, features, classes, model):
    """Make a table.

    Parameters
    ----------
    leading : dict of str to sequence, length N
        `path`, `start` if the rows are windows, `seconds`, and where known `note`, `bytes`, `modified`.
    probabilities : numpy.ndarray of float32, shape (N, C)
    features : numpy.ndarray of float32, shape (N, D)
    classes : sequence of str, length C
    model : str
        Fingerprint of the network.

    Returns
    -------
    pandas.DataFrame
    """
    import pandas

    genres = [classes[label] for label in probabilities.argmax(axis=1)]
    columns = [f"{PROBABILITY}{name}" for name in classes]
    columns += [f"{FEATURE}{number:03d}" for number in range(features.shape[1])]
    numbers = pandas.DataFrame(np.hstack([probabilities, features]).astype(np.float32), columns=columns)
    first = {name: values for name, values in leading.items() if name not in ABOUT_FILE}
    about = {name: leading.get(name, default) for name, default in ABOUT_FILE.items()}
    return pandas.concat([pandas.DataFrame({**first, "genre": genres, "model": model, **about}), numbers], axis=1)


def _columns(table, prefix):
    return [name for name in table.columns if name.startswith(prefix)]


def features_of(table):
    """The features of a table: numpy.ndarray of float32, shape (N, D)."""
    return table[_columns(table, FEATURE)].to_numpy(np.float32)


def classes_of(table):
    """The classes of a table, in label order: tuple of str."""
    return tuple(name.removeprefix(PROBABILITY) for name in _columns(table, PROBABILITY))


def require_format(path):
    """Raise a PipelineError if the name's ending is not that of a format, or the format needs a package."""
    if path.suffix not in ENDINGS:
        raise PipelineError(f"{path}: the name's ending chooses the format; it is one of {', '.join(ENDINGS)}.")
    if path.suffix == ".parquet":
        _require_pyarrow(path)


def _require_pyarrow(path):
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise PipelineError(
            f"{path}: .parquet needs pyarrow, which is not installed. Run: python3 -m pip install pyarrow, "
            "or choose a name that ends in .csv or .npz."
        ) from error


def write(path, table):
    """Write a table in the format of the name's ending.

    Parameters
    ----------
    path : Path
    table : pandas.DataFrame
        Float32 numbers are read back exactly from each format. The .npz holds the arrays `names` (the paths), `genres`,
        `seconds`, `notes`, `bytes`, `modified`, `features`, `probabilities`, `classes`, `model` and, for windows,
        `start`.
    """
    if path.suffix == ".csv":
        numbers = _columns(table, PROBABILITY) + _columns(table, FEATURE)
        # 9 significant digits give a float32 back; pandas alone would write fewer for some, more for others.
        write_table(path, table.assign(**{name: table[name].map("{:.9g}".format) for name in numbers}))
        return
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            np.savez_compressed(temporary, **_arrays(table))


def _arrays(table):
    start = {"start": table["start"].to_numpy(float)} if "start" in table else {}
    return {
        "features": features_of(table),
        "names": table["path"].to_numpy(str),
        "genres": table["genre"].to_numpy(str),
        "seconds": table["seconds"].to_numpy(float),
        "notes": table["note"].to_numpy(str),
        "bytes": table["bytes"].to_numpy(np.int64),
        "modified": table["modified"].to_numpy(str),
        "probabilities": table[_columns(table, PROBABILITY)].to_numpy(np.float32),
        "classes": np.array(classes_of(table), str),
        "model": np.array(table["model"].iloc[0], str),
        "written_by": np.array(FEATURIZE, str),
        **start,
    }


def is_table(path):
    """Whether a file is a table of tracks, and not one of 2-testing.py, by its ending and its beginning."""
    path = Path(path)
    if path.suffix == ".parquet":
        return True
    if path.suffix == ".npz":
        return "written_by" in feature_table.read_npz(path, FEATURIZE)
    with open(path, "rb") as file:
        return file.read(5) == b"path,"


def read(path):
    """Read a table that `write` wrote.

    Parameters
    ----------
    path : Path

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    PipelineError
        If it is damaged, lacks a column, or contains the features of several networks.
    """
    import pandas

    path = Path(path)
    try:
        if path.suffix == ".npz":
            table = _of_arrays(feature_table.read_npz(path, FEATURIZE))
        elif path.suffix == ".parquet":
            _require_pyarrow(path)
            table = pandas.read_parquet(path)
        else:
            table = _read_csv(path)
        missing = [name for name in ("path", "seconds", "genre", "model") if name not in table]
        if missing or not _columns(table, FEATURE):
            raise ValueError(f"it lacks {', '.join(missing or ['features'])}")
        if table.empty:
            raise ValueError("it has no rows")
        table = _with_about_file(table)
    except (ValueError, KeyError, IndexError, TypeError, pandas.errors.ParserError) as error:
        raise PipelineError(f"{path} is not a readable table of {FEATURIZE} ({error}). Make it again.") from error
    if table["model"].nunique() > 1:
        raise PipelineError(f"{path} contains features of several networks ({', '.join(table['model'].unique())}).")
    return table


def _with_about_file(table):
    import pandas

    if all(name in table for name in ABOUT_FILE):
        return table
    first = [name for name in ("path", "start", "seconds", "genre", "model") if name in table]
    others = [name for name in table if name not in (*first, *ABOUT_FILE)]
    about = {name: table.get(name, default) for name, default in ABOUT_FILE.items()}
    return pandas.concat([table[first].assign(**about), table[others]], axis=1)


def _read_csv(path):
    import pandas

    types = dict.fromkeys(("path", "genre", "model", "note", "modified"), str)
    types |= {"seconds": float, "start": float, "bytes": np.int64}
    header = pandas.read_csv(path, nrows=0, encoding="utf-8").columns
    types = {name: types.get(name, np.float32) for name in header}
    return pandas.read_csv(path, dtype=types, keep_default_na=False, encoding="utf-8")


def _of_arrays(arrays):
    names = {"path": "names", "start": "start", "seconds": "seconds", "note": "notes"}
    names |= {name: name for name in ("bytes", "modified")}
    leading = {name: arrays[key] for name, key in names.items() if key in arrays}
    classes = arrays["classes"].tolist()
    if len(classes) != arrays["probabilities"].shape[1]:
        raise ValueError(f"it has {len(classes)} classes and probabilities of shape {arrays['probabilities'].shape}")
    return rows(leading, arrays["probabilities"], arrays["features"], classes, str(arrays["model"]))


def partial_folder(out: Path) -> Path:
    """Folder beside a table that keeps what is done until the table is whole."""
    return out.with_name(f"{out.name}.partial")


def spectrograms_folder(out: Path) -> Path:
    """Folder for the spectrograms of the tracks that are being done."""
    return partial_folder(out) / "spectrograms"


@contextlib.contextmanager
def owned(out: Path) -> Iterator[None]:
    """Own a table while the block runs, after making sure that it can be written.

    Raises
    ------
    PipelineError
        If another process is making the table, or one of its files or folders cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            make_folder(out.parent)
            stack.enter_context(file_lock.held(out.with_name(f"{out.name}.lock"), out))
            _require_writable(out)
        except OSError as error:
            raise PipelineError(
                f"{out} cannot be written: {error.strerror} ({error.filename}). Change that, or give another --out."
            ) from error
        stack.callback(_remove_empty, partial_folder(out))
        stack.callback(_remove_empty, spectrograms_folder(out))
        yield


def _require_writable(out):
    """Raise an OSError unless the table can be written; remove what a killed run was writing."""
    for path in (out, failures_file(out)):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    remove_unfinished(out.parent, below=False)
    remove_unfinished(partial_folder(out))
    shutil.rmtree(spectrograms_folder(out), ignore_errors=True)
    for folder in (out.parent, partial_folder(out), spectrograms_folder(out)):
        make_folder(folder)
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:  # without the random name
            raise OSError(error.errno, error.strerror, str(folder)) from error


def _remove_empty(folder):
    with contextlib.suppress(OSError):  # not empty: of an interrupted run
        folder.rmdir()


def read_done(out, model, by_window):
    """What earlier runs did.

    Parameters
    ----------
    out : Path
        The table.
    model : str
        Fingerprint of this run's network.
    by_window : bool
        Whether this run's rows are windows.

    Returns
    -------
    list of pandas.DataFrame
        The finished table, if there is one, and the parts of an interrupted run.

    Raises
    ------
    PipelineError
        If they were made by another network, or are windows and this run's are not, or the reverse.
    """
    tables = [read(path) for path in [out, *sorted(partial_folder(out).glob("[0-9]*.npz"))] if path.exists()]
    tables = [table for table in tables if len(table)]
    kind = {True: "windows", False: "whole tracks"}
    for table in tables:
        made = table["model"].iloc[0], "start" in table
        if made != (model, by_window):
            raise PipelineError(
                f"{out} contains {kind[made[1]]} by the network {made[0]}; this run makes {kind[by_window]} by "
                f"{model}. Give another --out, or --overwrite to make it again."
            )
    return tables


def compare(tables, found, out):
    """Compare what earlier runs did with the recordings as they are.

    Parameters
    ----------
    tables : list of pandas.DataFrame
        See `read_done`.
    found : list of tracks.Track
        The recordings of this run.
    out : Path
        The table.

    Returns
    -------
    valid : list of pandas.DataFrame
        The tables without the rows of recordings that have changed since.
    to_do : list of tracks.Track
        Those of `found` that have no row.
    """
    by_name = {track.name: track for track in found}
    by_file = {tracks.identity(track.path): track for track in found}
    valid, done = [], set()
    for table in tables:
        versions, unchanged = table[["path", "bytes", "modified"]].drop_duplicates("path"), {}
        files = tracks.paths_of(versions["path"], out)
        for (name, *version), file in zip(versions.itertuples(index=False), files, strict=True):
            track = by_name.get(name) or by_file.get(tracks.identity(file))
            unchanged[name] = track is None or version == [track.bytes, track.modified]
            if track and unchanged[name]:
                done.add(track.path)
        valid.append(table[table["path"].map(unchanged).astype(bool)])
    return valid, [track for track in found if track.path not in done]


def keep_part(out, table):
    """Keep some finished rows beside `out`, whatever happens next."""
    folder = partial_folder(out)
    number = 1 + max((int(path.stem) for path in folder.glob("[0-9]*.npz")), default=0)
    write(folder / f"{number:06d}.npz", table)


def finish(out, tables):
    """Write all rows, sorted by path, and remove the parts.

    Parameters
    ----------
    out : Path
    tables : list of pandas.DataFrame
        Of a track that is in several of them, the rows of the last are used.

    Returns
    -------
    pandas.DataFrame
        Empty if there is no row: then there is no table.
    """
    import pandas

    newest, seen = [], set()
    for table in reversed(tables):
        newest.append(table[~table["path"].isin(seen)])
        seen.update(table["path"])
    newest = [table for table in newest if len(table)]
    table = pandas.concat(newest, ignore_index=True) if newest else pandas.DataFrame()
    if newest:
        write(out, table.sort_values([name for name in ("path", "start") if name in table], ignore_index=True))
    else:
        out.unlink(missing_ok=True)
    remove_parts(out)
    return table


def remove_parts(out):
    """Remove what `keep_part` kept, and unfinished spectrograms."""
    shutil.rmtree(partial_folder(out), ignore_errors=True)


def remove(out):
    """Remove a table, its parts and its list of failures."""
    remove_parts(out)
    for path in (out, failures_file(out)):
        path.unlink(missing_ok=True)


def failures_file(out):
    """List of the tracks that could not be used, beside the table."""
    return out.with_name(f"{out.stem}.failures.csv")


def write_failures(out, failures):
    """Write `path,error` of the tracks of this run that could not be used; no failure, no file.

    Parameters
    ----------
    out : Path
        The table.
    failures : dict of str to str
        Reason by path.
    """
    import pandas

    from music_featurization.dataset.spectrogram_folder import printable

    failures_file(out).unlink(missing_ok=True)
    if failures:
        listed = [(printable(path), reason) for path, reason in sorted(failures.items())]
        write_table(failures_file(out), pandas.DataFrame(listed, columns=["path", "error"]))
