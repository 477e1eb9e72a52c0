"""The log-mel spectrogram that everything else builds on: librosa's, bin for bin, in a third of the time.

The truth is `librosa.load` + `librosa.feature.melspectrogram` + `librosa.power_to_db` (librosa 0.11). It is written out
here because librosa's import takes seconds per process and its FFT runs in double precision; tests compare the two.
"""

import functools

import numpy as np

import audio

# What is written beside the spectrograms, and into every network trained on them.
SETTINGS = {
    "sample_rate": audio.SAMPLE_RATE,
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
FRAMES_AT_A_TIME = 64  # 64 x 2048 float32 stay in the second-level cache


def log_mel_of_file(path):
    """Log-mel spectrogram of a recording.

    Parameters
    ----------
    path : path-like
        Any format that libsndfile reads.

    Returns
    -------
    numpy.ndarray, float32, shape (96, frames)
        See `log_mel`.

    Raises
    ------
    audio.UnreadableAudioError
        If the recording cannot be used; the message is the reason.
    """
    return log_mel(audio.load(path))


def log_mel(samples):
    """Log-mel spectrogram of samples at 22,050 Hz.

    Parameters
    ----------
    samples : numpy.ndarray, float32, shape (n,)
        Mono, at least one window (2048 samples).

    Returns
    -------
    numpy.ndarray, float32, shape (96, 1 + n // 512)
        dB relative to the maximum: 0 at the loudest bin, not below -80. Digital silence is -80 everywhere.

    Raises
    ------
    audio.UnreadableAudioError
        If there are fewer samples than one window.
    """
    if len(samples) < N_FFT:
        raise audio.UnreadableAudioError(
            f"shorter than one window: {len(samples)} samples at {audio.SAMPLE_RATE} Hz, {N_FFT} needed"
        )
    return to_db(mel_power(samples)).T


def mel_power(samples):
    """Mel power spectrogram, frames first.

    Parameters
    ----------
    samples : numpy.ndarray, float32, shape (n,)

    Returns
    -------
    numpy.ndarray, float32, shape (1 + n // 512, 96)
    """
    from scipy.fft import rfft

    padded = np.zeros(len(samples) + N_FFT, np.float32)  # centred frames: half a window of zeros on either side
    signal = padded[N_FFT // 2 : N_FFT // 2 + len(samples)]
    signal[0] = samples[0]
    np.multiply(samples[:-1], np.float32(-SETTINGS["pre_emphasis"]), out=signal[1:])
    signal[1:] += samples[1:]
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    window, filters = hann_window(), mel_filters().T
    power = np.empty((len(frames), N_MELS), np.float32)
    for start in range(0, len(frames), FRAMES_AT_A_TIME):
        spectrum = rfft(frames[start : start + FRAMES_AT_A_TIME] * window, axis=1, overwrite_x=True)
        power[start : start + FRAMES_AT_A_TIME] = (spectrum.real**2 + spectrum.imag**2) @ filters
    return power


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
    frequencies = np.fft.rfftfreq(N_FFT, 1 / audio.SAMPLE_RATE)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


def _hz_to_mel(hz):
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _mel_to_hz(mel):
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
