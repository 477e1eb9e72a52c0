"""Compute the log-mel spectrogram that everything else builds on: librosa's values in a fraction of the time.

The reference is `librosa.feature.melspectrogram(y=y, sr=16000, n_fft=512, hop_length=256, n_mels=96)` (librosa 0.11),
levelled and compressed. It is computed here because librosa's import takes seconds per process; tests compare the two.
These are the settings of the networks trained on MagnaTagATune (musicnn and others), plus the levelling.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from music_featurization.audio import decoding

# Written beside the spectrograms and into every network trained on them.
SETTINGS: dict[str, Any] = {
    "sample_rate": decoding.SAMPLE_RATE,
    "n_fft": 512,
    "hop_length": 256,
    "n_mels": 96,
    "f_max": 8000.0,
    "mean_power": 0.3,
    "compression": "log10(1 + 10000 * power)",
    "dtype": "float16",
}
N_FFT, HOP, N_MELS = SETTINGS["n_fft"], SETTINGS["hop_length"], SETTINGS["n_mels"]
FRAMES = 256  # transformed at a time: few enough to stay in the cache
SILENCE = 1e-34  # mean power, below which float32 cannot express the factor that levels it
LOW_BANDS = 64  # they need a third of the bins


def log_mel(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Compute the log-mel spectrogram of a recording.

    Parameters
    ----------
    blocks : iterable of numpy.ndarray, float32, shape (samples,)
        Consecutive mono samples at 16,000 Hz, as `decoding.stream` yields them; together at least 512.

    Returns
    -------
    numpy.ndarray, float32, shape (96, 1 + samples // 256)
        ``log10(1 + 10000 * S * 0.3 / S.mean())`` of the mel power S. 0 is silence; digital silence is 0 everywhere.

    Raises
    ------
    decoding.UnreadableAudioError
        If there are fewer samples than one window, or samples that are not finite; also what `blocks` raises.
    """
    power = np.concatenate([_mel_power(frames) for frames in _frames(blocks)])
    if len(power) <= N_FFT // HOP:
        raise decoding.UnreadableAudioError(
            f"shorter than one window: {N_FFT} samples at {decoding.SAMPLE_RATE} Hz "
            f"({N_FFT / decoding.SAMPLE_RATE:.2f} s)"
        )
    mean = power.mean(dtype=np.float64)
    if not np.isfinite(mean):
        raise decoding.UnreadableAudioError("contains samples that are not finite, or too large for any recording")
    if mean < SILENCE:
        return np.zeros_like(power.T)
    power *= np.float32(10000 * SETTINGS["mean_power"] / mean)
    return np.log10(np.add(power, 1, out=power), out=power).T


def _frames(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the frames of a signal as views of shape (n, 512): centred, and padded with zeros at both ends."""
    padding = np.zeros(N_FFT // 2, np.float32)
    kept = np.zeros(0, np.float32)
    for part in _joined(itertools.chain([padding], blocks, [padding])):
        signal = np.concatenate([kept, *part])
        count = max(0, 1 + (len(signal) - N_FFT) // HOP)
        yield np.ndarray((count, N_FFT), np.float32, signal, strides=(HOP * signal.itemsize, signal.itemsize))
        kept = signal[count * HOP :]


def _joined(blocks: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield lists of consecutive blocks that are long enough to be transformed together."""
    part, samples = [], 0
    for block in blocks:
        part.append(block)
        samples += len(block)
        if samples >= FRAMES * HOP:
            yield part
            part, samples = [], 0
    yield part


def _mel_power(frames: np.ndarray) -> np.ndarray:
    """Compute the mel power, shape (n, 96), of frames (n, 512) that are not windowed yet."""
    from scipy.fft import rfft

    power = np.empty((len(frames), N_MELS), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # `log_mel` refuses what is not finite
        for start in range(0, len(frames), FRAMES):
            spectrum = rfft(frames[start : start + FRAMES] * hann_window())
            energy = np.square(spectrum.real)
            energy += np.square(spectrum.imag)
            for bands, bins, filters in _filter_groups():
                np.matmul(energy[:, bins], filters, out=power[start : start + FRAMES, bands])
    return power


@functools.cache
def hann_window() -> np.ndarray:
    """Return the periodic Hann window, float32, shape (512,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)


@functools.cache
def _filter_groups() -> list[tuple[slice, slice, np.ndarray]]:
    """Return the low and the high bands, the bins that each need, and their filters: fewer products with zero."""
    groups = []
    for bands in (slice(0, LOW_BANDS), slice(LOW_BANDS, N_MELS)):
        used = np.flatnonzero(mel_filters()[bands].any(axis=0))
        bins = slice(used[0], used[-1] + 1)
        groups.append((bands, bins, np.ascontiguousarray(mel_filters()[bands, bins].T)))
    return groups


@functools.cache
def mel_filters() -> np.ndarray:
    """Return the triangular filters on Slaney's mel scale, each of unit area: float32, shape (96, 257).

    The scale is linear up to 1000 Hz (3 mel per 200 Hz), logarithmic above (27 mel per factor of 6.4): M. Slaney,
    "Auditory Toolbox", 1998. Equal to `librosa.filters.mel(sr=16000, n_fft=512, n_mels=96)`.
    """
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(SETTINGS["f_max"]), N_MELS + 2))
    frequencies = np.fft.rfftfreq(N_FFT, 1 / decoding.SAMPLE_RATE)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


def _hz_to_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
