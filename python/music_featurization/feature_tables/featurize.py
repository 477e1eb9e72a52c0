"""Make a table of features of one's own music; python/featurize.py documents the columns."""

import contextlib
import functools
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from music_featurization import command_line, workers
from music_featurization.artifacts import PROVIDED_MODEL, PipelineError, fingerprint
from music_featurization.audio import decoding
from music_featurization.command_line import plural
from music_featurization.dataset import spectrogram_folder
from music_featurization.feature_tables import feature_table, table_run, track_features, tracks
from music_featurization.feature_tables.feature_table import FeatureTable
from music_featurization.feature_tables.track_features import TrackFeatures
from music_featurization.feature_tables.tracks import Track
from music_featurization.network import checkpoints, front_end

TIME_LIMIT = 3600  # seconds per track: there are recordings of a day
TRACKS_PER_PART, SECONDS_PER_PART = 64, 10  # finished tracks are kept on disk at least this often


class Settings(NamedTuple):
    """What the rows of a table depend on beside the recordings; see `featurize`."""

    model: Path
    classes: tuple[str, ...]
    model_fingerprint: str
    every: float | None
    tags: bool


def featurize(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    model: str | os.PathLike = PROVIDED_MODEL,
    every: float | None = None,
    tags: bool = False,
    jobs: int | None = None,
    dask: str | None = None,
    shard: tuple[int, int] | None = None,
    overwrite: bool = False,
) -> FeatureTable | None:
    """Make or complete a table of features of recordings, in worker processes, and report the progress.

    Parameters
    ----------
    paths : path-like or iterable of path-like
        Recordings, or folders that contain some.
    out : path-like
        The table: .csv, .npz or .parquet.
    model : path-like
        A checkpoint; by default the provided network.
    every : float, optional
        Seconds per row; by default one row per track.
    tags : bool
        Add the probabilities of 100 tags.
    jobs : int, optional
        Number of worker processes; by default one per core.
    dask : str, optional
        Address of a Dask scheduler, whose workers see the recordings at the same paths.
    shard : tuple of int, optional
        (i, n): only the i-th of n parts. A later call without it joins the shards.
    overwrite : bool
        Make the table again, without its present rows.

    Returns
    -------
    FeatureTable or None
        None if no recording can be used, or for a shard.

    Raises
    ------
    PipelineError
        If a path, the table or the network cannot be used, or the table was made with other settings.

    Examples
    --------
    >>> from music_featurization import featurize
    >>> table = featurize(["song.mp3"], "features.npz", tags=True)  # doctest: +ELLIPSIS
    1 track: 0 done, 1 to do
    ...
    >>> table.features.shape
    (1, 512)
    >>> bool(0 <= table.rows["mtt_guitar"].max() <= 1)
    True
    """
    out, model = Path(out), Path(model)
    feature_table.require_format(out)
    if overwrite and shard:
        raise PipelineError("--overwrite and --shard cannot be combined. Give another --out, or overwrite first.")
    if overwrite:
        feature_table.require_replaceable(out)
    track_features.require_step(every)
    settings = Settings(model, checkpoints.require_compatible(model), fingerprint(model), every, tags)
    recordings, skipped = tracks.find([paths] if isinstance(paths, (str, os.PathLike)) else paths, out)
    for line in skipped.lines():
        print(line)
    recordings = [track for track in recordings if spectrogram_folder.in_shard(track.name, shard)]
    with table_run.owned(out, shard):
        return _complete(recordings, out, settings, jobs or workers.cores(), dask, shard, overwrite)


def _complete(
    recordings: Sequence[Track],
    out: Path,
    settings: Settings,
    jobs: int,
    dask: str | None,
    shard: tuple[int, int] | None,
    overwrite: bool,
) -> FeatureTable | None:
    """Analyse the recordings that earlier runs did not, and join all rows, unless this run is a shard."""
    parts = table_run.parts(out)
    existing = [out, *parts]  # without the parts that this run will write
    old = table_run.read_done(
        [] if overwrite else existing, out, settings.model_fingerprint, settings.every, settings.tags
    )
    done, to_do = table_run.compare(old, recordings, out)
    where = f" in shard {shard[0]} of {shard[1]}" if shard else ""
    print(
        f"{plural(len(recordings), 'track')}{where}: {len(recordings) - len(to_do)} done, {len(to_do)} to do",
        flush=True,
    )
    failures: dict[str, str] = {}
    for table in _tables(_outcomes(to_do, settings, jobs, dask), out, settings, failures, len(to_do)):
        if overwrite:  # not before a network has been loaded
            _remove(existing)
        parts.append(table_run.keep_part(out, table))
        done.append(table)
    table_run.write_failures(out, failures, shard)
    if failures:
        print(f"{len(failures)} failed; why: {table_run.failures_file(out, shard)}")
    if shard is None:
        return _join(out, done, parts)
    print(f"kept in {table_run.partial_folder(out)}; the same command without --shard joins all shards")
    return None


def _join(out: Path, tables: Sequence[FeatureTable], parts: Sequence[Path]) -> FeatureTable | None:
    table = table_run.finish(out, tables)
    _remove(parts)  # only those that are in the table: another run may have written more
    if table is None:
        return None
    if noted := table.rows.loc[table.rows["note"] != "", "recording"].nunique():
        print(f"{noted} used in part; why: the column note")
    genres = ", ".join(f"{genre} {count}" for genre, count in Counter(table.genres).most_common())
    print(f"{plural(len(table.rows), 'time step' if 'start' in table.rows else 'track')} ({genres}): {out}")
    return table


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _outcomes(
    to_do: Sequence[Track], settings: Settings, jobs: int, dask: str | None
) -> Iterator[tuple[Track, TrackFeatures | str]]:
    """Yield each track with its features, or the reason why there are none."""
    if not to_do:
        return
    analyse = functools.partial(_analyse, settings=settings)
    prepare = functools.partial(_prepare_worker, settings)
    by_path = {track.path: track for track in to_do}
    results = workers.run(
        analyse, by_path, jobs=jobs, time_limit=TIME_LIMIT, clips_per_task=1, dask=dask, prepare=prepare
    )
    for path, result in results:
        yield by_path[path], result


def _prepare_worker(settings: Settings) -> None:
    """Load the networks; the first recording raises the error if that is impossible."""
    with contextlib.suppress(PipelineError):
        _load_networks(settings.model, settings.model_fingerprint)


@functools.lru_cache(maxsize=1)
def _load_networks(model: Path, model_fingerprint: str) -> track_features.Networks:
    """In a worker: load the networks, and do not look for every recording whether the file is still the same."""
    return track_features.load_networks(model)


def _analyse(path: str, *, settings: Settings) -> TrackFeatures | str:
    """In a worker: analyse a recording, or return the reason why it cannot be used."""
    networks = _load_networks(settings.model, settings.model_fingerprint)
    try:
        path.encode()
        return track_features.analyse(path, networks, settings.every)
    except UnicodeEncodeError:
        return "the file name is not valid UTF-8, and the tables are: rename it"
    except decoding.UnreadableAudioError as error:
        return str(error)
    except MemoryError:
        return "out of memory"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _tables(
    outcomes: Iterable[tuple[Track, TrackFeatures | str]],
    out: Path,
    settings: Settings,
    failures: dict[str, str],
    total: int,
) -> Iterator[FeatureTable]:
    """Yield tables of the tracks that are finished, now and then, with a progress bar; add to the failures."""
    batch: list[tuple[Track, TrackFeatures]] = []
    spent: Counter[str] = Counter()
    began, last, done = time.perf_counter(), time.monotonic(), 0
    try:
        for track, result in command_line.progress(outcomes, total, "track") if total else ():
            if isinstance(result, str):
                failures[track.name] = result
                continue
            done += 1
            spent.update(result.spent)
            batch.append((track, result))
            if len(batch) == TRACKS_PER_PART or time.monotonic() - last > SECONDS_PER_PART:
                finished, batch, last = batch, [], time.monotonic()
                yield _table(finished, out, settings)
    except BaseException:  # an interruption: what is finished is kept
        if batch:
            table_run.keep_part(out, _table(batch, out, settings))
        raise
    if batch:
        yield _table(batch, out, settings)
    if done:
        seconds = time.perf_counter() - began
        shares = ", ".join(f"{part} {time_spent / spent.total():.0%}" for part, time_spent in spent.items())
        print(f"{plural(done, 'track')} in {seconds:.1f} s, {done / seconds:.2f} tracks/s ({shares})")


def _table(batch: Sequence[tuple[Track, TrackFeatures]], out: Path, settings: Settings) -> FeatureTable:
    import pandas

    frames = []
    for track, result in batch:
        columns: dict = {"recording": track.name}
        if settings.every is not None:
            columns |= {"start": result.start.round(3), "end": result.end.round(3)}
        genres = [settings.classes[label] for label in result.probabilities.argmax(axis=1)]
        columns |= {"seconds": result.seconds.round(3), "genre": genres, "model": settings.model_fingerprint}
        columns |= {"note": result.note, "bytes": track.bytes, "modified": track.modified}
        names = [f"probability_{name}" for name in settings.classes]
        columns |= zip(names, result.probabilities.T, strict=True)
        if settings.tags:
            columns |= zip(front_end.tag_names(), result.tags.T, strict=True)
        frames.append(pandas.DataFrame(columns))
    features = np.concatenate([result.features for _, result in batch])
    return FeatureTable(pandas.concat(frames, ignore_index=True), features, out.parent)
