"""Recordings as mono samples at 16,000 Hz, as `librosa.load` gives them, in bounded memory; or the reason why not."""

import os

import numpy as np

from music_featurization.audio import mpeg

SAMPLE_RATE = 16000
FILE_ENDINGS = (".mp3", ".wav", ".flac", ".ogg", ".opus")
# Decoded at a time: a clip of a minute in one go, since soundfile seeks after each read and a seek decodes frames anew.
BLOCK = 1 << 20  # samples of all channels
CHUNK = 1 << 14  # resampled at a time, and handed on while still in the cache
MAX_SECONDS = 30 * 60  # a longer recording is no clip


class UnreadableAudioError(Exception):
    """A recording that cannot be used. The message is the reason, without the path."""


def stream(path, *, strict=True, max_seconds=MAX_SECONDS, on_note=None):
    """Decode, mix to mono and resample, block by block, in bounded memory.

    Parameters
    ----------
    path : path-like
        Any format that libsndfile reads; it is told by its content, not by its name.
    max_seconds : float
        Longest recording accepted.

    Yields
    ------
    numpy.ndarray, float32, shape (samples,)
        Consecutive blocks of mono samples at 16,000 Hz, not all of one length; together, within float rounding,
        `librosa.load(path, sr=16000)`.

    Raises
    ------
    UnreadableAudioError
        If it is empty, junk, truncated or longer than `max_seconds`. A truncated mp3 raises before the first block,
        others when their end is reached.
    """
    import soundfile

    if os.path.getsize(path) == 0:
        raise UnreadableAudioError("empty file")
    try:
        # As bytes: soundfile cannot encode a name that is not UTF-8.
        with soundfile.SoundFile(os.fsencode(path)) as file:
            expected = _expected_seconds(path, file)
            read = yield from _resampled(file, max_seconds * file.samplerate)
            _require_whole(read / file.samplerate, expected)
    except soundfile.LibsndfileError as error:
        raise UnreadableAudioError(f"not readable as audio: {error.error_string.strip()}") from error


def _resampled(file, most):
    """Mono blocks at 16,000 Hz of an open soundfile, in all as long as librosa's; returns the number of frames read."""
    rate = file.samplerate
    resample = _resampler(rate)
    frames, read, given = max(1, BLOCK // file.channels), 0, 0
    while True:
        block = file.read(frames, dtype="float32")
        read += len(block)
        if read > most:
            raise UnreadableAudioError(f"longer than {most / rate / 60:g} minutes: cut it into clips first")
        for start in range(0, max(1, len(block)), CHUNK):
            last = len(block) < frames and start + CHUNK >= len(block)
            chunk = resample(_mono(block[start : start + CHUNK]), last)
            given += len(chunk)
            if len(chunk):
                yield chunk
        if len(block) < frames:
            break
    # librosa.resample pads to this length where the resampler gives less.
    padding = int(np.ceil(read * (SAMPLE_RATE / rate))) - given
    if padding > 0:
        yield np.zeros(padding, np.float32)
    return read


def _resampler(rate):
    """A function of (chunk, whether it is the last) that gives what it can of the chunk at 16,000 Hz."""
    import soxr

    if rate == SAMPLE_RATE:
        return lambda chunk, last: chunk
    try:
        return soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ").resample_chunk
    except (RuntimeError, ValueError) as error:
        raise UnreadableAudioError(f"cannot be resampled from {rate} Hz: {error}") from error


def _mono(chunk):
    return chunk if chunk.ndim == 1 else chunk.mean(axis=1)


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
    """Whether the last Ogg page is whole and has the end-of-stream flag (RFC 3533, section 6)."""
    with open(path, "rb") as raw:
        raw.seek(max(0, os.path.getsize(path) - 131072))  # a page has at most 65,307 bytes
        tail = raw.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27:
        return False
    segments = page[26]
    return len(page) >= 27 + segments + sum(page[27 : 27 + segments]) and bool(page[5] & 4)


def _require_whole(seconds, expected):
    if seconds == 0:
        raise UnreadableAudioError("no audio in it")
    # A decoder may leave out the first frames of an excerpt, which refer to bits before its beginning.
    if seconds < expected - 0.5:
        raise UnreadableAudioError(f"damaged: {seconds:.1f} of {expected:.1f} seconds can be decoded")
