"""Tables of features, one row per clip: the CSVs that the StyleSpace experiment reads, and the same as .npz.

A CSV row of 2-testing.py is `<genre>.<clip_id>_<name>.npy` and the features; one of 3-format_dataset.py is the genre's
code, `<clip_id>_<name>` and the features. The published original wrote `.jpg` for `.npy`.
"""

import csv

import numpy as np

from music_featurization.artifacts import TESTING, PipelineError, read_arrays, replacing, require
from music_featurization.dataset.clip_names import stem

ENDINGS = (".npy", ".jpg")


def row_name(genre, clip_id, spectrogram):
    """First field of a row of 2-testing.py: `<genre>.<clip_id>_<name>.npy`."""
    return f"{genre}.{clip_id}_{stem(spectrogram)}.npy"


def split_row_name(name, classes):
    """Take the first field of a row of 2-testing.py apart.

    Parameters
    ----------
    name : str
        `<genre>.<clip_id>_<name>.npy`, or `.jpg`.
    classes : sequence of str
        The genres there are: a genre may itself hold a dot.

    Returns
    -------
    genre, clip : str
        `clip` is `<clip_id>_<name>`.

    Raises
    ------
    PipelineError
        If the name does not begin with one of the genres.
    """
    genres = [genre for genre in classes if name.startswith(f"{genre}.")]
    if not genres:
        raise PipelineError(
            f"The row {name[:60]!r} does not begin with one of the genres {', '.join(classes)}. "
            f"Run {TESTING} --overwrite."
        )
    genre = max(genres, key=len)
    clip = name.removeprefix(f"{genre}.")
    ending = next((ending for ending in ENDINGS if clip.endswith(ending)), "")
    return genre, clip.removesuffix(ending)


def write_csv(path, leading, features):
    """Write a table without a header.

    Parameters
    ----------
    path : Path
        The artifact.
    leading : sequence of tuple of str
        The fields before the features, one tuple per row.
    features : array of float32, shape (N, D)
        Written with 9 significant digits, from which float32 is read back exactly.
    """
    numbers = ",".join(["%.9g"] * features.shape[1])
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        for fields, row in zip(leading, features, strict=True):
            # csv.writer for every number would take minutes at 25,000 clips.
            file.write(",".join(map(_quoted, fields)) + "," + numbers % tuple(row.tolist()) + "\n")


def _quoted(field):
    text = str(field)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def read_csv(path, made_by=TESTING):
    """Read the table that 2-testing.py writes.

    Parameters
    ----------
    path : Path
        The artifact.
    made_by : str
        The script that makes it, for the error message.

    Returns
    -------
    names : list of str, length N
    features : numpy.ndarray of float32, shape (N, D)

    Raises
    ------
    PipelineError
        If the file is missing or empty, or a row is not a name and as many numbers as in the first row.
    """
    require(path, made_by)
    names, rows = [], []
    for line, row in _rows(path, made_by):
        try:
            rows.append(np.array([float(number) for number in row[1:]], dtype=np.float32))
        except ValueError as error:
            raise _bad_row(path, line, str(error), made_by) from error
        names.append(row[0])
        if not len(rows[-1]) or len(rows[-1]) != len(rows[0]):
            raise _bad_row(path, line, f"{len(rows[-1])} features where the first row has {len(rows[0])}", made_by)
    if not rows:
        raise PipelineError(f"{path} is empty. Run {made_by} --overwrite.")
    return names, np.stack(rows)


def read_names(path, made_by=TESTING):
    """First field of every row of a table; see `read_csv`."""
    require(path, made_by)
    return [row[0] for _, row in _rows(path, made_by)]


def _rows(path, made_by):
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise _bad_row(path, reader.line_num + 1, str(error), made_by) from error


def _bad_row(path, line, reason, made_by):
    return PipelineError(f"{path}, line {line}: {reason}. Run {made_by} --overwrite.")


def write_npz(path, features, names, genres, **about):
    """Write the same table as numpy arrays, which load in an instant where the CSV takes minutes.

    Parameters
    ----------
    path : Path
        The artifact.
    features : array of float32, shape (N, D)
    names, genres : sequence of str, length N
    **about : str or sequence of str
        What else to keep, such as `model`, the fingerprint of the network that made the features.
    """
    texts = {key: np.array(value, dtype=str) for key, value in {"names": names, "genres": genres, **about}.items()}
    with replacing(path) as temporary:
        np.savez_compressed(temporary, features=np.asarray(features, dtype=np.float32), **texts)


def read_npz(path, made_by):
    """Read what `write_npz` wrote.

    Parameters
    ----------
    path : Path
        The artifact.
    made_by : str
        The script that makes it, for the error message.

    Returns
    -------
    dict of str to numpy.ndarray
        `features`, `names`, `genres` and whatever else was kept.

    Raises
    ------
    PipelineError
        If the file is missing or damaged, or lacks one of the three.
    """
    return read_arrays(path, made_by, {"features": ("f", 2), "names": ("U", 1), "genres": ("U", 1)})
