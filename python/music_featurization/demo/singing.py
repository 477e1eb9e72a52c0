"""Synthesise sung voices: pulses of the vocal folds, shaped by the formants of the vowels."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import pretty_midi

# Formants of the vowels a, e, o: frequencies (Hz) and levels (dB), after the table in the Csound manual.
VOWELS = {
    "baritone": (
        ((600, 1040, 2250, 2450, 2750), (0, -7, -9, -9, -20)),
        ((400, 1620, 2400, 2800, 3100), (0, -12, -9, -12, -18)),
        ((400, 750, 2400, 2600, 2900), (0, -11, -21, -20, -40)),
    ),
    "tenor": (
        ((650, 1080, 2650, 2900, 3250), (0, -6, -7, -8, -22)),
        ((400, 1700, 2600, 3200, 3580), (0, -14, -12, -14, -20)),
        ((400, 800, 2600, 2800, 3000), (0, -10, -12, -12, -26)),
    ),
    "alto": (
        ((800, 1150, 2800, 3500, 4950), (0, -4, -20, -36, -60)),
        ((400, 1600, 2700, 3300, 4950), (0, -24, -30, -35, -60)),
        ((450, 800, 2830, 3500, 4950), (0, -9, -16, -28, -55)),
    ),
    "soprano": (
        ((800, 1150, 2900, 3900, 4950), (0, -6, -32, -20, -50)),
        ((350, 2000, 2800, 3600, 4950), (0, -20, -15, -40, -56)),
        ((450, 800, 2830, 3800, 4950), (0, -11, -22, -22, -50)),
    ),
}
BANDWIDTHS = (70, 80, 110, 130, 150)  # Hz, of the formants
HIGHEST_HARMONIC = 7600  # Hz


def sing(
    notes: "list[pretty_midi.Note]", voice: str, *, unison: int, vibrato: float, samples: int, rate: int,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Sing notes, a vowel to each; a note ends where the next begins. The result is float32, shape (samples,).

    Parameters
    ----------
    voice : str
        A name in `VOWELS`.
    unison : int
        Number of singers.
    vibrato : float
        Depth in semitones.
    """
    notes = sorted(notes, key=lambda note: note.start)
    line = _Line(notes, samples, rate)
    spread = 0.12 if unison > 1 else 0.03
    source = sum((_folds(line, vibrato, spread, rng) for _ in range(unison)), np.zeros(samples, np.float32))
    source = _one_pole(source, np.exp(-2 * np.pi * rng.uniform(500, 1600) / rate))  # the folds themselves are dull
    vowels = rng.integers(len(VOWELS[voice]), size=len(notes))
    size = rng.uniform(0.92, 1.1)  # of the vocal tract
    ringing = rng.uniform(2, 9) if vibrato >= 0.25 else 0  # dB: the formant of a trained voice near 3 kHz
    sound = np.zeros(samples, np.float32)
    for number, (frequencies, levels) in enumerate(VOWELS[voice]):
        formants = _formants(source, size * np.array(frequencies), levels + ringing * np.array((0, 0, 1, 1, 1)), rate)
        sound += line.smooth(line.steps(vowels == number), 0.02) * formants
    return sound


class _Line:
    """Sung notes as curves over time."""

    def __init__(self, notes: "list[pretty_midi.Note]", samples: int, rate: int):
        self.notes, self.samples, self.rate = notes, samples, rate
        self.starts = np.array([int(note.start * rate) for note in notes])
        self.time = np.arange(samples, dtype=np.float32) / rate

    def steps(self, values: ArrayLike) -> np.ndarray:
        """Repeat the value of each note until the next note begins."""
        bounds = np.clip(np.concatenate(([0], self.starts[1:], [self.samples])), 0, self.samples)
        return np.repeat(np.asarray(values, np.float32), np.diff(bounds))

    def smooth(self, signal: np.ndarray, seconds: float) -> np.ndarray:
        """Smooth in both directions, so that nothing is delayed."""
        keep = np.exp(-1 / (seconds * self.rate))
        return _one_pole(_one_pole(signal, keep)[::-1], keep)[::-1]

    def loudness(self, rng: np.random.Generator) -> np.ndarray:
        """Return the loudness: silence between notes, a swell within them, a dip for a consonant at their end."""
        loud, swell, syllabic = np.zeros(self.samples, np.float32), rng.uniform(0, 0.4), rng.uniform(0.4, 1.0)
        following = np.append(self.starts[1:], self.samples)
        for note, start, latest in zip(self.notes, self.starts, following, strict=True):
            end = min(int(note.end * self.rate), latest)
            end = latest if latest - end < 0.09 * self.rate else end  # legato
            shape = 1 - swell * np.cos(np.linspace(0, 2 * np.pi, max(0, end - start), dtype=np.float32))
            if rng.random() < syllabic:
                shape[-int(rng.uniform(0.03, 0.09) * self.rate) :] *= rng.uniform(0.01, 0.3)
            loud[start:end] = (note.velocity / 100) ** 1.5 * shape[: max(0, self.samples - start)]
        return self.smooth(loud, rng.uniform(0.008, 0.025))


def _one_pole(signal: np.ndarray, keep: float) -> np.ndarray:
    from scipy.signal import lfilter

    return lfilter([1 - keep], [1, -keep], signal).astype(np.float32)


def _folds(line: _Line, vibrato: float, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Return the vocal folds of one singer: a pulse train that follows the notes, and some breath."""
    pitch = line.steps([note.pitch + rng.normal(0, spread) for note in line.notes])
    age = line.time - line.steps([note.start for note in line.notes])
    depth = vibrato * rng.uniform(0.6, 1.4) + rng.uniform(0.02, 0.12)
    phase = rng.uniform(4.8, 6.6) * line.time + rng.random()
    tremble = np.clip(3 * (age - 0.12), 0, 1) * np.sin(2 * np.pi * phase + np.sin(line.time * rng.uniform(0.4, 1.1)))
    points = np.arange(0, line.time[-1] + 0.15, 0.15)
    drift = np.interp(line.time, points, rng.normal(0, 0.06, len(points)))
    semitones = line.smooth(pitch, rng.uniform(0.008, 0.03)) - 69 + depth * tremble + drift
    pulses = _pulses(440 * 2 ** (semitones / 12), line.rate, rng)
    breath = rng.uniform(0.01, 0.08) * rng.standard_normal(line.samples, np.float32)
    late = int(line.rate * abs(rng.normal(0, 0.25 * spread)))
    return np.roll(line.loudness(rng) * (1 + 0.12 * tremble), late) * np.roll(pulses + breath, late)


def _pulses(frequency: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return all harmonics below `HIGHEST_HARMONIC` in equal strength, in closed form (Dirichlet kernel)."""
    turn = np.pi * (rng.random() + np.cumsum(frequency, dtype=np.float64) / rate)
    harmonics = np.floor(HIGHEST_HARMONIC / frequency)
    below = np.sin(turn)
    flat = np.abs(below) < 1e-4
    kernel = np.sin((2 * harmonics + 1) * turn) / np.where(flat, 1, below)
    return ((np.where(flat, 2 * harmonics + 1, kernel) - 1) / np.sqrt(harmonics)).astype(np.float32)


def _formants(source: np.ndarray, frequencies: np.ndarray, levels: np.ndarray, rate: int) -> np.ndarray:
    """Filter by parallel resonators."""
    from scipy.signal import lfilter

    sound = np.zeros(len(source), np.float32)
    for frequency, level, width in zip(frequencies, levels, BANDWIDTHS, strict=True):
        radius = np.exp(-np.pi * width / rate)
        poles = [1, -2 * radius * np.cos(2 * np.pi * frequency / rate), radius**2]
        sound += 10 ** (level / 20) * (1 - radius) * lfilter([1, 0, -1], poles, source).astype(np.float32)
    return sound
