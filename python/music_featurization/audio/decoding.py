"""Decode recordings to mono samples at 16 kHz, as `librosa.load(path, sr=16000)` does, in bounded memory."""

import itertools
import math
import operator
import os
import stat
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from music_featurization.audio import structure

if TYPE_CHECKING:
    from av import AudioFrame
    from av.audio import AudioStream
    from av.container import InputContainer

SAMPLE_RATE = 16000
FILE_ENDINGS = (
    ".mp3", ".wav", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aiff", ".aif", ".aifc", ".au", ".caf",
    ".mp2", ".rf64", ".w64", ".wv", ".m4b", ".mka", ".webm",
)  # fmt: skip
MAX_SECONDS = 30 * 60  # a longer recording is not a clip
LOWEST_RATE, HIGHEST_RATE = 4000, 1_000_000  # Hz
BLOCK = 1 << 20  # samples of all channels, decoded at a time
CHUNK = 1 << 14  # resampled at a time, and passed on while still in the cache
# FFmpeg's demuxers for sound: playlists and others that open further files are not among them. Its decoders that look
# into a file before decoding: a cover picture is not decoded.
FFMPEG_OPTIONS = {
    "format_whitelist": "mp3,wav,w64,aiff,au,caf,flac,ogg,mov,aac,asf,wv,matroska",
    "codec_whitelist": "mp3float,mp2float,mp1float,aac,alac,flac,vorbis,opus,wmav1,wmav2,wmapro,wmalossless,wavpack",
}
COUNTED = ("flac", "wv")  # their headers contain the exact number of samples
MATROSKA = "matroska,webm"  # its header contains the duration
TIMED = (MATROSKA, "mov,mp4,m4a,3gp,3g2,mj2", "asf", "caf", "wav")  # their packets have times, also one that is damaged
TOLERANCE = 0.5  # seconds that a decoder may leave out at the beginning and the end of a lossy format

Blocks = Iterator[tuple[int, np.ndarray]]  # sample rate, mono samples
Decoding = Generator[tuple[int, np.ndarray], None, "_Decoded"]


class UnreadableAudioError(Exception):
    """A recording that cannot be used. The message is the reason, without the path."""


def stream(
    path: str | os.PathLike,
    *,
    strict: bool = True,
    max_seconds: float = MAX_SECONDS,
    on_note: Callable[[str], None] | None = None,
) -> Iterator[np.ndarray]:
    """Decode, mix to mono and resample a recording block by block, in bounded memory.

    Parameters
    ----------
    path : path-like
        A file in a format of libsndfile, or of `FFMPEG_OPTIONS`; the ending of its name has no effect.
    strict : bool
        Refuse a recording that is longer than `max_seconds`, damaged, or has lost its end. Otherwise yield what can be
        decoded.
    on_note : callable, optional
        Called with what is wrong with a recording that `strict` would refuse, such as "ends early: 35.1 of 240.0 s".

    Yields
    ------
    numpy.ndarray, float32, shape (samples,)
        Consecutive blocks of mono samples at 16,000 Hz, of different lengths; together, within float rounding,
        `librosa.load(path, sr=16000)`.

    Raises
    ------
    UnreadableAudioError
        If nothing can be decoded, the sample rate is below 4 kHz, or `strict` refuses the recording.
    OSError
        If the file cannot be read.
    """
    note = _refuse if strict else on_note or (lambda text: None)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UnreadableAudioError("not a regular file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise UnreadableAudioError("empty file")
        blocks = _decode_streams(structure.after_tags(structure.Part(file, 0, size)), strict, note)
        yield from _resample(_limit(blocks, max_seconds, note))
        if os.fstat(file.fileno()).st_size != size:
            note("it changed while it was read")


def _refuse(reason: str) -> None:
    raise UnreadableAudioError(reason)


def _limit(blocks: Blocks, max_seconds: float, note: Callable[[str], None]) -> Blocks:
    """Pass on blocks up to `max_seconds`; refuse sample rates that need much time or memory, and empty recordings."""
    seconds = 0.0
    for rate, block in blocks:
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise UnreadableAudioError(f"sample rate {rate} Hz instead of {LOWEST_RATE} to {HIGHEST_RATE} Hz")
        seconds += len(block) / rate
        if seconds > max_seconds:
            note(f"longer than {max_seconds / 60:g} minutes: cut it into clips first")
            yield rate, block[: len(block) - math.floor((seconds - max_seconds) * rate)]
            return
        yield rate, block
    if not seconds:
        raise UnreadableAudioError("no audio in it")


def _resample(blocks: Blocks) -> Iterator[np.ndarray]:
    """Resample mono blocks to 16 kHz and librosa's length; the rate may change where recordings were joined."""
    for rate, segment in itertools.groupby(blocks, key=operator.itemgetter(0)):
        resample = _resampler(rate)
        read = resampled = 0
        for _, block in segment:
            read += len(block)
            for start in range(0, len(block), CHUNK):
                chunk = resample(block[start : start + CHUNK])
                resampled += len(chunk)
                yield chunk
        yield (end := resample(np.zeros(0, np.float32), last=True))
        # librosa.resample pads to this length if the resampler returns less.
        yield np.zeros(max(0, math.ceil(read * (SAMPLE_RATE / rate)) - resampled - len(end)), np.float32)


def _resampler(rate: int) -> Callable[..., np.ndarray]:
    if rate == SAMPLE_RATE:
        return lambda chunk, last=False: chunk
    import soxr

    return soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ").resample_chunk


def _decode_streams(file: structure.Part, strict: bool, note: Callable[[str], None]) -> Blocks:
    """Decode the streams of an Ogg file separately if FFmpeg would decode the first one only."""
    declared = _require_end(structure.read_declared(file), strict)
    if len(declared.streams) == 1:
        yield from _decode(file, declared, strict, note)
        return
    for begin, end in itertools.pairwise((*declared.streams, file.size)):
        part = file.part(begin, end)
        try:
            yield from _decode(part, _require_end(structure.read_declared(part), strict), strict, note)
        except UnreadableAudioError as error:
            note(str(error))


def _decode(file: structure.Part, declared: structure.Declared, strict: bool, note: Callable[[str], None]) -> Blocks:
    """Decode with libsndfile, then with FFmpeg what libsndfile refuses or omits; note what is missing."""
    decoded = yield from _by_libsndfile(file, declared, strict)
    if not decoded.complete:
        try:
            decoded = yield from _by_ffmpeg(file, decoded, strict)
        except UnreadableAudioError:
            if strict or not decoded.frames:
                raise
    seconds, declared = decoded.seconds, decoded.declared
    if declared.missing:
        total = max(declared.seconds, seconds / max(declared.share, 1e-9))
        differ = f"{seconds:.1f}" != f"{total:.1f}"
        note(f"ends early: {f'{seconds:.1f} of {total:.1f} s' if differ else declared.missing}")
    elif not decoded.complete:
        note(f"damaged: {seconds:.1f} of {declared.seconds:.1f} s can be decoded")


class _Decoded(NamedTuple):
    """The outcome of a decoder: what the file declares, how much was decoded, and whether that is all."""

    declared: structure.Declared
    frames: int = 0
    seconds: float = 0.0
    complete: bool = False


def _require_end(declared: structure.Declared, strict: bool) -> structure.Declared:
    if strict and declared.missing:
        raise UnreadableAudioError(f"truncated: {declared.missing}")
    return declared


def _by_libsndfile(file: structure.Part, declared: structure.Declared, strict: bool) -> Decoding:
    import soundfile

    frames, rate = 0, 1
    # By name if possible: libsndfile reads mp3 in steps of a few bytes. As bytes: some names are not UTF-8.
    source = os.fsencode(file.file.name) if file.is_whole() else file.part(0, file.size)
    try:
        with soundfile.SoundFile(source) as sound:
            # Otherwise soundfile seeks after each read, which repeats audio where a part of the file is lost.
            sound.seekable = lambda: False
            rate, rows = sound.samplerate, max(1, BLOCK // sound.channels)
            if sound.format == "MP3":
                declared = _require_end(structure.read_frames(file, sound.frames), strict)
            expected = declared.seconds or sound.frames / rate
            tolerance = 0 if sound.format == "FLAC" else TOLERANCE
            more = declared.libsndfile_suffices
            while more:
                block = sound.read(rows, dtype="float32")
                yield rate, block if block.ndim == 1 else block.mean(axis=1)
                frames, more = frames + len(block), len(block) == rows
    except soundfile.LibsndfileError:
        return _Decoded(declared, frames, frames / rate)
    complete = 0 < frames >= (expected - tolerance) * rate
    if declared.libsndfile_suffices:
        declared = declared._replace(seconds=expected)
    return _Decoded(declared, frames, frames / rate, complete)


def _by_ffmpeg(file: structure.Part, decoded: _Decoded, strict: bool) -> Decoding:
    """Decode, without the samples that libsndfile has decoded."""
    import av

    audio = file.part(0, decoded.declared.end)
    try:
        with av.open(audio, "r", options=FFMPEG_OPTIONS, metadata_errors="replace", io_open=_open_nothing) as container:
            track, name, declared = next(iter(container.streams.audio), None), container.format.name, decoded.declared
            if track is None or track.codec_context is None:
                raise UnreadableAudioError("no audio in it that can be decoded")
            if name in ("mp3", "aac"):
                declared = _require_end(structure.read_frames(file), strict)
            elif name in COUNTED:
                declared = declared._replace(seconds=float((track.duration or 0) * (track.time_base or 0)))
            elif name == MATROSKA and len(container.streams) == 1:  # a video may be longer than its sound
                declared = declared._replace(seconds=(container.duration or 0) / av.time_base)
            seconds, end, span, broken_off = yield from _ffmpeg_blocks(container, track, decoded.frames)
    except (av.FFmpegError, ValueError) as error:
        _require_end(decoded.declared, strict=True)
        raise UnreadableAudioError("not readable as audio") from error
    exactness = 0.5 / SAMPLE_RATE if name in COUNTED else TOLERANCE
    if name in (*COUNTED, MATROSKA) and (end < declared.seconds - exactness if declared.seconds else broken_off):
        declared = _require_end(declared._replace(missing="the last frames are missing"), strict)
    if name in TIMED:
        declared = declared._replace(seconds=max(declared.seconds, span))
    seconds = max(seconds, decoded.seconds)
    return _Decoded(declared, 0, seconds, complete=seconds >= declared.seconds - exactness)


def _open_nothing(*_: object) -> None:
    raise UnreadableAudioError("not readable as audio: it refers to other files")


def _ffmpeg_blocks(
    container: "InputContainer", track: "AudioStream", skip: int
) -> Generator[tuple[int, np.ndarray], None, tuple[float, float, float, bool]]:
    """Return the seconds decoded, the end of the last frame, the span of all packets, and if the last is damaged."""
    import av

    track.codec_context.thread_count = 1
    packets, rate = container.demux(track), 0
    samples: list[np.ndarray] = []
    seconds, end, begin, span, broken_off = 0.0, 0.0, math.inf, 0.0, False
    while True:
        try:
            if (packet := next(packets, None)) is None:
                break
            if packet.size and packet.pts is not None and packet.time_base:
                begin = min(begin, max(0.0, float(packet.pts * packet.time_base)))  # an edit list begins at 0
                span = max(span, float((packet.pts + (packet.duration or 0)) * packet.time_base) - begin)
            frames = packet.decode()
        except av.FFmpegError:
            broken_off = True
            continue
        broken_off = broken_off and not frames
        for frame in frames:
            if samples and (sum(map(len, samples)) >= CHUNK or frame.sample_rate != rate):
                yield rate, np.concatenate(samples)
                samples = []
            samples.append(_mono(frame)[max(0, skip) :])
            rate, skip = frame.sample_rate, skip - frame.samples
            seconds += frame.samples / rate
            end = (frame.time or 0.0) + frame.samples / rate
    if samples:
        yield rate, np.concatenate(samples)
    return seconds, end, span, broken_off


def _mono(frame: "AudioFrame") -> np.ndarray:
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    mono = samples.mean(axis=0, dtype=np.float32 if kind == "f" else np.float64)
    if kind != "f":
        mono = mono / 2.0 ** (bits - 1) - (kind == "u")
    return mono.astype(np.float32, copy=False)
