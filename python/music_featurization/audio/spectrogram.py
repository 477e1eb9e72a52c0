"""The log-mel spectrogram that everything else builds on: librosa's, bin for bin, in a fraction of the time.

The truth is `librosa.load` + `librosa.feature.melspectrogram` + `librosa.power_to_db` (librosa 0.11). It is written out
here because librosa's import takes seconds per process and its FFT runs in double precision; tests compare the two.
"""

import functools
import itertools

import numpy as np

from music_featurization.audio import decoding

# What is written beside the spectrograms, and into every network trained on them.
SETTINGS = {
    "sample_rate": decoding.SAMPLE_RATE,
    "pre_emphasis": 0.97,
    "n_fft": 2048,
    "hop_length": 512,
    "n_mels": 96,
    "f_max": 11025.0,
    "top_db": 80.0,
    "reference": "maximum",
    "dtype": "float16",
}
N_FFT, HOP, N_MELS = SETTINGS["n_fft"], SETTINGS["hop_length"], SETTINGS["n_mels"]
FLOOR_DB = -SETTINGS["top_db"]
MIN_POWER = 1e-10  # librosa.power_to_db's amin
FILTER_GROUPS = (0, 32, 48, 64, 72, 80, 88, 96)  # filters applied together; high ones are wide, so fewer; measured
FRAMES = 48  # transformed at a time: few enough to stay in the cache


def log_mel(blocks):
    """Log-mel spectrogram of a recording.

    Parameters
    ----------
    blocks : iterable of numpy.ndarray, float32, shape (samples,)
        Consecutive mono samples at 22,050 Hz, as `audio.stream` yields them; together at least one window (2048).

    Returns
    -------
    numpy.ndarray, float32, shape (96, 1 + samples // 512)
        dB relative to the maximum: 0 at the loudest bin, not below -80. Digital silence is -80 everywhere.

    Raises
    ------
    audio.UnreadableAudioError
        If there are fewer samples than one window, or some that are not finite; and whatever `blocks` raises.
    """
    power = mel_power(blocks)
    if len(power) <= N_FFT // HOP:
        raise decoding.UnreadableAudioError(
            f"shorter than one window: {N_FFT} samples at {decoding.SAMPLE_RATE} Hz "
            f"({N_FFT / decoding.SAMPLE_RATE:.2f} s)"
        )
    if not np.isfinite(power.max()):
        raise decoding.UnreadableAudioError("holds samples that are not finite numbers, or too large for any recording")
    return to_db(power).T


def mel_power(blocks):
    """Mel power spectrogram, frames first.

    Parameters
    ----------
    blocks : iterable of numpy.ndarray, float32, shape (samples,)
        As in `log_mel`.

    Returns
    -------
    numpy.ndarray, float32, shape (1 + samples // 512, 96)
    """
    padding = np.zeros(N_FFT // 2, np.float32)  # centred frames: half a window of zeros on either side
    signal, last, power, workspace = padding, np.float32(0), [], _Workspace()
    for block in blocks:
        signal = _pre_emphasised(signal, last, block)
        last = block[-1]
        frames = _frames(signal)
        power.append(workspace.mel_power(frames))
        signal = signal[len(frames) * HOP :]
    power.append(workspace.mel_power(_frames(np.concatenate([signal, padding]))))
    return np.concatenate(power)


def _pre_emphasised(signal, last, block):
    """`signal`, followed by y[t] - 0.97 y[t-1] of a block; `last` is the sample before it."""
    longer = np.empty(len(signal) + len(block), np.float32)
    longer[: len(signal)] = signal
    new = longer[len(signal) :]
    new[0] = last * np.float32(-SETTINGS["pre_emphasis"])
    np.multiply(block[:-1], np.float32(-SETTINGS["pre_emphasis"]), out=new[1:])
    new += block
    return longer


def _frames(signal):
    """All whole windows of a signal, HOP apart, as a view: (frames, 2048)."""
    count = max(0, 1 + (len(signal) - N_FFT) // HOP)
    return np.ndarray((count, N_FFT), np.float32, signal, strides=(HOP * signal.itemsize, signal.itemsize))


class _Workspace:
    """Memory for the windowed frames and their spectra, used again and again: new memory costs time."""

    def __init__(self):
        self.windowed = np.empty((FRAMES, N_FFT), np.float32)
        self.spectra = np.empty((FRAMES, N_FFT // 2 + 1), np.complex64)

    def mel_power(self, frames):
        """Mel power of frames, shape (frames, 2048), not windowed yet."""
        power = np.empty((len(frames), N_MELS), np.float32)
        for start in range(0, len(frames), FRAMES):
            self._fill(power[start : start + FRAMES], frames[start : start + FRAMES])
        return power

    def _fill(self, power, frames):
        import ducc0

        windowed = np.multiply(frames, hann_window(), out=self.windowed[: len(frames)])
        with np.errstate(over="ignore", invalid="ignore"):  # `log_mel` refuses what is not finite
            # Real and imaginary parts side by side, squared in place; the filters, each value twice, add them up.
            squares = ducc0.fft.r2c(windowed, axes=(1,), out=self.spectra[: len(frames)]).view(np.float32)
            np.multiply(squares, squares, out=squares)
            for bands, bins, filters in _filter_groups():
                np.matmul(squares[:, bins], filters, out=power[:, bands])


def to_db(power):
    """Decibels relative to the maximum, cut off 80 dB below it.

    Parameters
    ----------
    power : numpy.ndarray, float32
        Not negative.

    Returns
    -------
    numpy.ndarray, float32, same shape
        From -80 to 0; -80 everywhere if there is no power at all (librosa gives 0 there).
    """
    loudest = power.max()
    if loudest <= MIN_POWER:
        return np.full_like(power, FLOOR_DB)
    decibels = 10 * np.log10(np.maximum(power, MIN_POWER))
    return np.maximum(decibels - 10 * np.log10(loudest), np.float32(FLOOR_DB))


@functools.cache
def hann_window():
    """Periodic Hann window, float32, shape (2048,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)


@functools.cache
def mel_filters():
    """Triangular filters on Slaney's mel scale, each of unit area.

    Returns
    -------
    numpy.ndarray, float32, shape (96, 1025)

    Notes
    -----
    The scale is linear up to 1000 Hz (3 mel per 200 Hz), logarithmic above (27 mel per factor of 6.4): M. Slaney,
    "Auditory Toolbox", 1998. Equal to `librosa.filters.mel(sr=22050, n_fft=2048, n_mels=96)`.
    """
    top = _hz_to_mel(SETTINGS["f_max"])
    edges = _mel_to_hz(np.linspace(0.0, top, N_MELS + 2))
    frequencies = np.fft.rfftfreq(N_FFT, 1 / decoding.SAMPLE_RATE)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


@functools.cache
def _filter_groups():
    """`mel_filters` cut into groups, each with its non-zero bins only: a fifth of the multiplications.

    Returns
    -------
    list of (bands, bins, filters)
        Slice of the 96 bands, slice of the 2050 real and imaginary parts, and the float32 matrix that joins them.
    """
    groups = []
    for first, end in itertools.pairwise(FILTER_GROUPS):
        filters = mel_filters()[first:end]
        bins = np.flatnonzero(filters.any(axis=0))
        matrix = np.repeat(filters[:, bins[0] : bins[-1] + 1].T, 2, axis=0)
        groups.append((slice(first, end), slice(2 * bins[0], 2 * bins[-1] + 2), matrix))
    return groups


def _hz_to_mel(hz):
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _mel_to_hz(mel):
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
