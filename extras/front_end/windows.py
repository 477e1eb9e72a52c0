"""Compute windows of log-mel spectrogram, from audio files or from four synthesised pieces of music.

The synthesised pieces may be redistributed, so the windows that the tests use are made from them.
"""

from collections.abc import Iterable
from pathlib import Path

import librosa
import numpy as np
import soundfile

RATE, FRAMES, BANDS = 16_000, 187, 96
# With the names that music_featurization.audio.spectrogram uses, which compares them with its own.
SETTINGS = {
    "sample_rate": RATE,
    "n_fft": 512,
    "hop_length": 256,
    "n_mels": BANDS,
    "f_max": 8000.0,
    "mean_power": 0.3,
    "compression": "log10(1 + 10000 * power)",
}


def log_mel(y: np.ndarray) -> np.ndarray:
    """Compute the levelled log-mel spectrogram.

    Parameters
    ----------
    y : np.ndarray, shape (samples,)
        Audio signal at 16 kHz.

    Returns
    -------
    np.ndarray, shape (frames, 96), float32
        ``log10(1 + 10000 * S * 0.3 / S.mean())``, rounded to float16. 0 for digital silence.
    """
    power = librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=512, hop_length=256, n_mels=BANDS).T
    mean = power.mean()
    levelled = power * (SETTINGS["mean_power"] / mean) if mean > 0 else power
    return np.log10(1 + 10_000 * levelled).astype(np.float16).astype(np.float32)


def cut(spectrogram: np.ndarray) -> np.ndarray:
    """Cut a spectrogram of shape (frames, 96) into windows of shape (n, 187, 96) without overlap."""
    n = len(spectrogram) // FRAMES
    return spectrogram[: n * FRAMES].reshape(n, FRAMES, BANDS)


def from_audio(paths: Iterable[Path]) -> np.ndarray:
    """Compute the windows of audio files.

    Parameters
    ----------
    paths : iterable of Path
        Files that libsndfile reads, such as mp3.

    Returns
    -------
    np.ndarray, shape (n, 187, 96)

    Raises
    ------
    ValueError
        If a file cannot be read, or all files are shorter than a window.
    """
    windows = np.concatenate([cut(log_mel(_read(path))) for path in paths])
    if not len(windows):
        raise ValueError("all audio files are shorter than a window of 3 seconds")
    return windows


def _read(path: Path) -> np.ndarray:
    try:
        y, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return librosa.resample(y.mean(axis=1), orig_sr=rate, target_sr=RATE)


def synthesised(seed: int = 0) -> dict[str, np.ndarray]:
    """Synthesise four pieces of three seconds and compute a window of each.

    Parameters
    ----------
    seed : int
        Seed of the noise.

    Returns
    -------
    dict of str to np.ndarray
        Windows of shape (187, 96) by the name of the piece.
    """
    rng = np.random.default_rng(seed)
    plucked, choir, drums = _plucked(), _choir(rng), _drums(rng)
    pieces = {"plucked": plucked, "choir": choir, "drums": drums, "band": drums + 0.5 * plucked + 0.2 * choir}
    return {name: cut(log_mel(y.astype(np.float32)))[0] for name, y in pieces.items()}


def _time(seconds: float) -> np.ndarray:
    return np.arange(int(seconds * RATE)) / RATE


def _plucked() -> np.ndarray:
    """Synthesise an arpeggio of decaying harmonic tones."""
    y, t = np.zeros(3 * RATE), _time(0.75)
    for step, midi in enumerate([57, 60, 64, 69, 72, 69, 64, 60, 55, 59, 62, 67]):
        start, f0 = step * RATE // 4, librosa.midi_to_hz(midi)
        partials = [np.sin(2 * np.pi * k * f0 * t) * np.exp(-t * (3 + k)) / k for k in range(1, 13)]
        tone = np.sum(partials, axis=0)[: len(y) - start]
        y[start : start + len(tone)] += 0.3 * tone
    return y


def _choir(rng: np.random.Generator) -> np.ndarray:
    """Synthesise a sustained chord with vibrato, two formants and breath noise."""
    t, y = _time(3), 0.003 * rng.standard_normal(3 * RATE)
    for midi in (48, 55, 60, 64):
        f0 = librosa.midi_to_hz(midi + rng.uniform(-0.05, 0.05))
        phase = 2 * np.pi * f0 * t + 0.3 * f0 / 50 * np.sin(2 * np.pi * rng.uniform(4.5, 6) * t)
        for k in range(1, int(4000 / f0)):
            formants = np.exp(-(((k * f0 - 600) / 300) ** 2)) + 0.5 * np.exp(-(((k * f0 - 1100) / 400) ** 2))
            y += 0.1 * (formants + 0.02) * np.sin(k * phase)
    return y * np.minimum(1, t / 0.4)


def _drums(rng: np.random.Generator) -> np.ndarray:
    """Synthesise a bass drum, a snare drum and a hi-hat at 120 beats per minute."""
    y, t = np.zeros(3 * RATE), _time(0.25)
    kick = np.sin(2 * np.pi * (50 * t - 6 * np.exp(-t * 25))) * np.exp(-t * 18)
    for eighth in range(12):
        noise = rng.standard_normal(len(t))
        sound = 0.15 * np.diff(noise, append=0) * np.exp(-t * 60)
        sound += kick if eighth % 4 == 0 else 0
        sound += 0.4 * noise * np.exp(-t * 25) if eighth % 4 == 2 else 0
        y[eighth * len(t) : (eighth + 1) * len(t)] += sound
    return y
