"""Recordings as mono samples at 22,050 Hz, as `librosa.load` gives them, in bounded memory; or the reason why not."""

import os

import numpy as np

import mpeg

SAMPLE_RATE = 22050
FILE_ENDINGS = (".mp3", ".wav", ".flac", ".ogg", ".opus")
BLOCK = 65536  # frames decoded at a time: small enough for the cache and for any number of channels
MAX_SECONDS = 30 * 60  # a longer "clip" would not fit the memory that step 1 promises per worker


class UnreadableAudioError(Exception):
    """A recording that cannot be used. The message is the reason, without the path."""


def load(path, *, max_seconds=MAX_SECONDS):
    """Decode, mix to mono, resample.

    Parameters
    ----------
    path : path-like
        Any format that libsndfile reads; it is told by its content, not by its name.
    max_seconds : float
        Longest recording accepted.

    Returns
    -------
    numpy.ndarray, float32, shape (samples,)
        Mono at 22,050 Hz, within float rounding of `librosa.load(path, sr=22050)`.

    Raises
    ------
    UnreadableAudioError
        If it is empty, junk, truncated, longer than `max_seconds`, or holds values that are not finite.
    """
    blocks, total = [], 0
    for block in stream(path):
        total += len(block)
        if total > max_seconds * SAMPLE_RATE:
            raise UnreadableAudioError(f"longer than {max_seconds / 60:g} minutes: cut it into clips first")
        blocks.append(block)
    return np.concatenate(blocks)


def stream(path):
    """Yield what `load` returns, block by block, for recordings of any length.

    Parameters
    ----------
    path : path-like

    Yields
    ------
    numpy.ndarray, float32, shape (samples,)
        Consecutive blocks of mono samples at 22,050 Hz; not all of one length.

    Raises
    ------
    UnreadableAudioError
        As `load`. A truncated mp3 raises before the first block, others when their end is reached.
    """
    import soundfile

    if os.path.getsize(path) == 0:
        raise UnreadableAudioError("empty file")
    try:
        # As bytes: soundfile cannot encode a name that is not UTF-8.
        with soundfile.SoundFile(os.fsencode(path)) as file:
            expected = _expected_seconds(path, file)
            yield from _resampled(file, expected)
    except soundfile.LibsndfileError as error:
        raise UnreadableAudioError(f"not readable as audio: {error.error_string.strip()}") from error
    except RuntimeError as error:  # soxr's
        raise UnreadableAudioError(f"cannot be resampled from {file.samplerate} Hz: {error}") from error


def _resampled(file, expected):
    """Mono blocks at 22,050 Hz of an open soundfile, as many samples in all as librosa gives."""
    import soxr

    rate = file.samplerate
    resampler = (
        soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ") if rate != SAMPLE_RATE else None
    )
    read, given = 0, 0
    while True:
        block = file.read(BLOCK, dtype="float32")
        last = len(block) < BLOCK
        read += len(block)
        if block.ndim > 1:
            block = block.mean(axis=1)
        if not np.isfinite(block).all():
            raise UnreadableAudioError("holds samples that are not finite numbers")
        block = resampler.resample_chunk(block, last=last) if resampler else block
        given += len(block)
        if len(block):
            yield block
        if last:
            break
    _require_whole(read / rate, expected)
    # librosa.resample pads to this length where the resampler gives less.
    padding = int(np.ceil(read * (SAMPLE_RATE / rate))) - given
    if padding > 0:
        yield np.zeros(padding, np.float32)


def _expected_seconds(path, file):
    """How long the file says it is; raises if its structure already shows that its end is missing."""
    if file.format == "MP3":
        with open(path, "rb") as raw:
            found = mpeg.scan(raw.read())
        if found.damage:
            raise UnreadableAudioError(found.damage)
        return found.seconds
    if file.format == "OGG" and not _ogg_has_end(path):
        raise UnreadableAudioError("truncated: the last page of the Ogg stream is missing")
    if file.format == "WAV" and "should be" in file.extra_info:  # libsndfile's remark on a chunk cut short
        raise UnreadableAudioError("truncated: the file is shorter than its header says")
    return file.frames / file.samplerate


def _ogg_has_end(path):
    """Whether the last Ogg page has the end-of-stream flag (RFC 3533, section 6)."""
    with open(path, "rb") as raw:
        raw.seek(max(0, os.path.getsize(path) - 131072))  # a page has at most 65,307 bytes
        tail = raw.read()
    at = tail.rfind(b"OggS")
    return at >= 0 and len(tail) > at + 5 and bool(tail[at + 5] & 4)


def _require_whole(seconds, expected):
    if seconds == 0:
        raise UnreadableAudioError("no audio in it")
    # A decoder may leave out the first frames of an excerpt, which refer to bits before its beginning.
    if seconds < expected - 0.5:
        raise UnreadableAudioError(f"damaged: {seconds:.1f} of {expected:.1f} seconds can be decoded")
