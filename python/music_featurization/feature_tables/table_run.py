"""The files of one run of featurize.py: the lock, what earlier runs did, parts of an interrupted run, failures."""

import contextlib
import errno
import glob
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from music_featurization import file_lock
from music_featurization.artifacts import PipelineError, make_folder, remove_unfinished, write_table
from music_featurization.feature_tables import feature_table, tracks
from music_featurization.feature_tables.feature_table import FeatureTable
from music_featurization.file_tree import printable

Shard = tuple[int, int] | None


def partial_folder(out: Path) -> Path:
    """Return the folder beside a table that keeps finished rows until the table is whole."""
    return out.with_name(f"{out.name}.partial")


@contextlib.contextmanager
def owned(out: Path, shard: Shard = None) -> Iterator[None]:
    """Own a table, or a shard of it, while the block runs, after making sure that it can be written.

    Raises a PipelineError if another process is making it, or one of its files or folders cannot be written.
    """
    ending = "" if shard is None else f".shard-{shard[0]}-of-{shard[1]}"
    with contextlib.ExitStack() as stack:
        try:
            make_folder(out.parent)
            stack.enter_context(file_lock.locked(out.with_name(f"{out.name}{ending}.lock"), out, "--out"))
            _require_writable(out, shard)
        except OSError as error:
            raise PipelineError(
                f"{out} cannot be written: {error.strerror} ({error.filename}). Change that, or give another --out."
            ) from error
        stack.callback(_remove_if_empty, partial_folder(out))
        yield


def _require_writable(out: Path, shard: Shard) -> None:
    """Raise an OSError unless the table can be written; remove what a killed run was writing."""
    for path in (out, failures_file(out, shard)):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    remove_unfinished(out.parent, below=False)
    remove_unfinished(partial_folder(out))
    for folder in (out.parent, partial_folder(out)):
        make_folder(folder)
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:  # without the random name
            raise OSError(error.errno, error.strerror, str(folder)) from error


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not empty: of an interrupted run
        folder.rmdir()


def parts(out: Path) -> list[Path]:
    """List the parts of interrupted runs and of shards, the oldest first."""
    return sorted(partial_folder(out).glob("[0-9]*.npz"))


def keep_part(out: Path, table: FeatureTable) -> Path:
    """Keep some finished rows beside `out`, in case the run is interrupted; return the file."""
    part = partial_folder(out) / f"{time.time_ns():020d}-{os.getpid()}.npz"
    feature_table.write(part, table)
    return part


def read_done(
    files: Sequence[Path], out: Path, model_fingerprint: str, every: float | None, tags: bool
) -> list[FeatureTable]:
    """Read what earlier runs did: the table `out` and its parts, as far as these files exist.

    Raises a PipelineError if they were made by another network or with other options than this run's.
    """
    tables = [feature_table.read(path) for path in files if path.exists()]
    expected = _describe(model_fingerprint, every, tags)
    for table in tables:
        has_tags = any(name.startswith("mtt_") for name in map(str, table.rows))
        actual = _describe(table.model_fingerprint, _step_of(table, every), has_tags)
        if actual != expected:
            raise PipelineError(
                f"{out} contains {actual}; this run makes {expected}. "
                "Give another --out, or --overwrite to make it again."
            )
    return [table._replace(folder=out.parent) for table in tables]


def _describe(model_fingerprint: str, every: float | None, tags: bool) -> str:
    rows = "whole tracks" if every is None else f"steps of {every:g} s"
    return f"{rows} {'with' if tags else 'without'} tags by the network {model_fingerprint}"


def _step_of(table: FeatureTable, every: float | None) -> float | None:
    """Return the time step of a table; `every` where no track is long enough to show it."""
    if "start" not in table.rows:
        return None
    longest, is_one_each = (table.rows["end"] - table.rows["start"]).max(), table.rows["start"].max() == 0
    is_possible = every is not None and (abs(longest - every) < 0.002 or (is_one_each and longest < every))
    return every if is_possible else round(longest, 3)


def compare(
    tables: Sequence[FeatureTable], recordings: Sequence[tracks.Track], out: Path
) -> tuple[list[FeatureTable], list[tracks.Track]]:
    """Return the tables without the rows of recordings that have changed since, and the recordings without a row."""
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


def finish(out: Path, tables: Sequence[FeatureTable]) -> FeatureTable | None:
    """Write all rows, sorted by path; of a track that is in several tables, the rows of the last one.

    Without any row there is no table: it is removed, and None returned. Raises a PipelineError if a table lacks a
    column of this run's.
    """
    newest: list[FeatureTable] = []
    seen: set[str] = set()
    for table in reversed(tables):
        newest.append(table.select(~table.rows["recording"].isin(seen).to_numpy()))
        seen.update(table.rows["recording"])
    newest = [table for table in newest if len(table.rows)]
    if not newest:
        out.unlink(missing_ok=True)
        return None
    for table in newest[1:]:
        missing = [str(name) for name in newest[0].rows if name not in table.rows]
        if missing or table.features.shape[1] != newest[0].features.shape[1]:
            raise PipelineError(
                f"{out} lacks {', '.join(missing) or 'some of the features'}, which this run's rows have. "
                "Restore these columns, give another --out, or --overwrite to make it again."
            )
    table = feature_table.concatenate(newest)
    order = table.rows.sort_values([name for name in ("recording", "start") if name in table.rows]).index
    table = table.select(order.to_numpy())
    feature_table.write(out, table)
    return table


def failures_file(out: Path, shard: Shard = None) -> Path:
    """Return the list of the tracks that could not be used, beside the table."""
    return out.with_name(f"{out.stem}.failures{f'-{shard[0]}-of-{shard[1]}' if shard else ''}.csv")


def write_failures(out: Path, failures: dict[str, str], shard: Shard = None) -> None:
    """Write `path,error` of the tracks of this run that could not be used; no failure, no file."""
    import pandas

    outdated = [failures_file(out, shard)]
    if shard is None:  # this run tries again what failed in the shards
        outdated += out.parent.glob(f"{glob.escape(out.stem)}.failures-*-of-*.csv")
    for path in outdated:
        path.unlink(missing_ok=True)
    if failures:
        rows = [(printable(path), reason) for path, reason in sorted(failures.items())]
        write_table(failures_file(out, shard), pandas.DataFrame(rows, columns=["path", "error"]))
