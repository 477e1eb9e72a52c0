"""One run owns the table that featurize.py makes: what earlier runs did, parts of an interrupted one, failures."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from music_featurization import file_lock
from music_featurization.artifacts import PipelineError, make_folder, remove_unfinished, write_table
from music_featurization.feature_tables import feature_table, tracks
from music_featurization.feature_tables.feature_table import FeatureTable


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


def read_done(out: Path, model_fingerprint: str, by_window: bool) -> list[FeatureTable]:
    """Read what earlier runs did: the finished table, if there is one, and the parts of an interrupted run.

    Raises
    ------
    PipelineError
        If they were made by another network, or are windows and this run's are not, or the reverse.
    """
    parts = sorted(partial_folder(out).glob("[0-9]*.npz"))
    tables = [feature_table.read(path) for path in [out, *parts] if path.exists()]
    kind = {True: "windows", False: "whole tracks"}
    for table in tables:
        made = table.model_fingerprint, "start" in table.rows
        if made != (model_fingerprint, by_window):
            raise PipelineError(
                f"{out} contains {kind[made[1]]} by the network {made[0]}; this run makes {kind[by_window]} by "
                f"{model_fingerprint}. Give another --out, or --overwrite to make it again."
            )
    return [table._replace(folder=out.parent) for table in tables]


def compare(
    tables: Sequence[FeatureTable], recordings: Sequence[tracks.Track], out: Path
) -> tuple[list[FeatureTable], list[tracks.Track]]:
    """Compare what earlier runs did with the recordings as they are.

    Returns
    -------
    valid : list of FeatureTable
        The tables without the rows of recordings that have changed since.
    to_do : list of tracks.Track
        The recordings without a row.
    """
    by_name = {track.name: track for track in recordings}
    by_file = {tracks.identity(track.path): track for track in recordings}
    valid, done = [], set()
    for table in tables:
        versions, unchanged = table.rows[["recording", "bytes", "modified"]].drop_duplicates("recording"), {}
        files = tracks.paths_of(versions["recording"], out)
        for (name, *version), file in zip(versions.itertuples(index=False), files, strict=True):
            track = by_name.get(name) or by_file.get(tracks.identity(file))
            unchanged[name] = track is None or version == [track.bytes, track.modified]
            if track and unchanged[name]:
                done.add(track.path)
        valid.append(table.select(table.rows["recording"].map(unchanged).to_numpy(bool)))
    return valid, [track for track in recordings if track.path not in done]


def keep_part(out: Path, table: FeatureTable) -> None:
    """Keep some finished rows beside `out`, in case the run does not end."""
    folder = partial_folder(out)
    number = 1 + max((int(path.stem) for path in folder.glob("[0-9]*.npz")), default=0)
    feature_table.write(folder / f"{number:06d}.npz", table)


def finish(out: Path, tables: Sequence[FeatureTable]) -> FeatureTable | None:
    """Write all rows, sorted by path, and remove the parts.

    Parameters
    ----------
    out : Path
    tables : sequence of FeatureTable
        Of a track that is in several of them, the rows of the last are used.

    Returns
    -------
    FeatureTable or None
        None if there is no row: then there is no table.
    """
    newest, seen = [], set()
    for table in reversed(tables):
        newest.append(table.select(~table.rows["recording"].isin(seen).to_numpy()))
        seen.update(table.rows["recording"])
    newest = [table for table in newest if len(table.rows)]
    if newest:
        table = feature_table.concatenate(newest)
        order = table.rows.sort_values([name for name in ("recording", "start") if name in table.rows]).index
        table = table.select(order)
        feature_table.write(out, table)
    else:
        table = None
        out.unlink(missing_ok=True)
    remove_parts(out)
    return table


def remove_parts(out: Path) -> None:
    """Remove what `keep_part` kept, and unfinished spectrograms."""
    shutil.rmtree(partial_folder(out), ignore_errors=True)


def remove(out: Path) -> None:
    """Remove a table, its parts and its list of failures."""
    remove_parts(out)
    for path in (out, failures_file(out)):
        path.unlink(missing_ok=True)


def failures_file(out: Path) -> Path:
    """List of the tracks that could not be used, beside the table."""
    return out.with_name(f"{out.stem}.failures.csv")


def write_failures(out: Path, failures: dict[str, str]) -> None:
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
