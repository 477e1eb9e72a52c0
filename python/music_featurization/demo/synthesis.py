"""Turns a composed piece into a recording: instruments from a sound font, sung voices, an amplifier, a room, an mp3.

The parts of the signal path are those of a real recording, each drawn at random within what is usual: singers with
vibrato and formants, distorted guitars, reverberation, the response of microphone and tape, hiss, compression.
"""

import functools
import io
from pathlib import Path

import numpy as np

from music_featurization.artifacts import PipelineError

RATE = 16_000  # Hz, as MagnaTagATune
SAMPLES = 464_448  # of a clip; 29.1 s of mp3 frames
SECONDS = SAMPLES / RATE
ENCODING = {  # exactly 32 kbit/s, as MagnaTagATune; 0.84 is the middle of the range that gives it (0.81 to 0.86)
    "format": "MP3",
    "subtype": "MPEG_LAYER_III",
    "bitrate_mode": "CONSTANT",
    "compression_level": 0.84,
}
AMPLIFIED = (29, 30)  # programs that go through the amplifier: overdriven and distorted guitar

# Formants of sung vowels: frequencies (Hz) and levels (dB), after the table in the Csound manual.
VOWELS = {
    "bass": (
        ((600, 1040, 2250, 2450, 2750), (0, -7, -9, -9, -20)),
        ((400, 1620, 2400, 2800, 3100), (0, -12, -9, -12, -18)),
        ((400, 750, 2400, 2600, 2900), (0, -11, -21, -20, -40)),
        ((250, 1750, 2600, 3050, 3340), (0, -30, -16, -22, -28)),
        ((350, 600, 2400, 2675, 2950), (0, -20, -32, -28, -36)),
    ),
    "tenor": (
        ((650, 1080, 2650, 2900, 3250), (0, -6, -7, -8, -22)),
        ((400, 1700, 2600, 3200, 3580), (0, -14, -12, -14, -20)),
        ((400, 800, 2600, 2800, 3000), (0, -10, -12, -12, -26)),
        ((290, 1870, 2800, 3250, 3540), (0, -15, -18, -20, -30)),
        ((350, 600, 2700, 2900, 3300), (0, -20, -17, -14, -26)),
    ),
    "alto": (
        ((800, 1150, 2800, 3500, 4950), (0, -4, -20, -36, -60)),
        ((400, 1600, 2700, 3300, 4950), (0, -24, -30, -35, -60)),
        ((450, 800, 2830, 3500, 4950), (0, -9, -16, -28, -55)),
        ((350, 1700, 2700, 3700, 4950), (0, -20, -30, -36, -60)),
        ((325, 700, 2530, 3500, 4950), (0, -12, -30, -40, -64)),
    ),
    "soprano": (
        ((800, 1150, 2900, 3900, 4950), (0, -6, -32, -20, -50)),
        ((350, 2000, 2800, 3600, 4950), (0, -20, -15, -40, -56)),
        ((450, 800, 2830, 3800, 4950), (0, -11, -22, -22, -50)),
        ((270, 2140, 2950, 3900, 4950), (0, -12, -26, -26, -44)),
        ((325, 700, 2700, 3800, 4950), (0, -16, -35, -40, -60)),
    ),
}
BANDWIDTHS = (70, 80, 110, 130, 150)  # Hz, of the formants

# Where a piece is recorded: reverberation time (s), its share, upper limit (Hz), hiss (dB below the music), how hard
# tape or compressor are driven.
RECORDINGS = {
    "church": {"decay": (1.6, 4.0), "wet": (0.15, 0.5), "limit": (5500, 8000), "hiss": (58, 95), "drive": (0.0, 0.3)},
    "hall": {"decay": (1.2, 2.4), "wet": (0.12, 0.4), "limit": (5500, 8000), "hiss": (58, 95), "drive": (0.0, 0.4)},
    "chamber": {"decay": (0.5, 1.2), "wet": (0.08, 0.25), "limit": (6000, 8000), "hiss": (58, 95), "drive": (0.0, 0.5)},
    "studio": {"decay": (0.2, 0.7), "wet": (0.03, 0.15), "limit": (7000, 8000), "hiss": (65, 95), "drive": (0.3, 2.0)},
    "mastered": {
        "decay": (0.2, 0.8),
        "wet": (0.03, 0.15),
        "limit": (7500, 8000),
        "hiss": (70, 95),
        "drive": (1.5, 6.0),
    },
    "shellac": {"decay": (0.3, 1.2), "wet": (0.05, 0.25), "limit": (3000, 5000), "hiss": (25, 45), "drive": (0.5, 2.0)},
}


def default_soundfont():
    """Path of the sound font that comes with pretty_midi."""
    import pretty_midi

    return Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"


def check_soundfont(path):
    """The absolute path of a sound font.

    Raises
    ------
    PipelineError
        If it is not there, or not an uncompressed SoundFont 2 file.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise PipelineError(f"There is no sound font {path}. Give an .sf2 file, or leave --soundfont out.")
    with open(path, "rb") as file:
        head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"sfbk" or path.suffix.lower() == ".sf3":
        raise PipelineError(f"{path} is not a SoundFont 2 file (.sf2); compressed ones (.sf3) cannot be played.")
    return path


@functools.lru_cache(maxsize=4)
def _font(path):
    return Path(path).read_bytes()


def play(midi, soundfont):
    """Render MIDI with a sound font.

    Parameters
    ----------
    midi : pretty_midi.PrettyMIDI
    soundfont : Path
        An .sf2 file.

    Returns
    -------
    numpy.ndarray
        float32, mono, at `RATE`; as long as the last MIDI event.
    """
    import midirenderer
    import soundfile
    import soxr

    file = io.BytesIO()
    midi.write(file)
    wave = midirenderer.render_wave_from(_font(soundfont), file.getvalue())
    # The renderer's own rate is 48 kHz. Rendering at 16 kHz would fold the upper partials back.
    audio, rate = soundfile.read(io.BytesIO(wave), dtype="float32")
    return soxr.resample(audio.mean(axis=1), rate, RATE)


def perform_clip(midi, soundfont, recording, seed):
    """One clip as it would be heard on a recording.

    Parameters
    ----------
    midi : pretty_midi.PrettyMIDI
        The excerpt, from `demo_music.excerpt`; consumed.
    soundfont : Path
    recording : str
        A name in `RECORDINGS`.
    seed : sequence of int
        Seed of everything random. Clips of one piece share the first numbers and so sound alike.

    Returns
    -------
    numpy.ndarray
        float32, shape (SAMPLES,), within -1 and 1.
    """
    rng = np.random.default_rng(seed)
    natural = rng.random() < 0.8  # else the sound font's own voices
    sung = [
        part for part in midi.instruments if natural and part.name.split(" ")[1:2] and part.name.split(" ")[1] in VOWELS
    ]
    amplified = [part for part in midi.instruments if part.program in AMPLIFIED and not part.is_drum]
    rest = [part for part in midi.instruments if part not in sung and part not in amplified]
    audio = np.zeros(SAMPLES, np.float32)
    if rest:
        midi.instruments = rest
        audio += fitted(play(midi, soundfont))
    if amplified:
        midi.instruments = amplified
        audio += amplifier(fitted(play(midi, soundfont)), rng)
    if sung:
        voices = sum(sing(part, rng) * part.control_changes[0].value / 100 for part in sung)
        audio += balance(voices, audio, rng.uniform(0.8, 2.2))
    return record(audio, recording, rng)


def fitted(audio):
    """Cut or filled with silence to `SAMPLES`."""
    return np.pad(audio[:SAMPLES], (0, max(0, SAMPLES - len(audio))))


def balance(voices, band, ratio):
    """Voices scaled to `ratio` times the loudness of the band, or as they are where there is no band."""
    loudness = np.sqrt(np.mean(band**2))
    own = np.sqrt(np.mean(voices**2)) + 1e-9
    return voices * (ratio * loudness / own) if loudness > 1e-4 else voices * (0.1 / own)


def amplifier(audio, rng):
    """An overdriven guitar amplifier and its loudspeaker: what several strings make of each other is its sound."""
    from scipy.signal import butter, sosfilt

    level = np.sqrt(np.mean(audio**2)) + 1e-9
    driven = np.tanh(audio / level * rng.uniform(1.5, 8)) + 0.15 * np.tanh(audio / level * 2) ** 2
    cabinet = butter(2, (rng.uniform(70, 130), rng.uniform(3800, 6000)), "bandpass", fs=RATE, output="sos")
    shaped = sosfilt(cabinet, driven).astype(np.float32)
    return shaped * (level * rng.uniform(0.8, 1.4) / (np.sqrt(np.mean(shaped**2)) + 1e-9))


# --------------------------------------------------------------------------------------------------------- singing


def sing(part, rng):
    """A sung line: pulses of the vocal folds shaped by the formants of the vowels, a vowel to each note.

    Parameters
    ----------
    part : pretty_midi.Instrument
        Its name is `sing <voice> <number of singers> <vibrato in semitones>`.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        float32, shape (SAMPLES,).
    """
    from scipy.signal import lfilter

    _, voice, unison, vibrato = part.name.split(" ")
    notes = sorted(part.notes, key=lambda note: note.start)
    if not notes:
        return np.zeros(SAMPLES, np.float32)
    source = sum(_singer(notes, float(vibrato), int(unison), rng) for _ in range(int(unison)))
    vowel = rng.integers(len(VOWELS[voice]), size=len(notes))
    size = rng.uniform(0.92, 1.1)  # of the vocal tract
    ringing = rng.uniform(2, 9) if float(vibrato) >= 0.25 else 0  # dB: a trained voice's formant near 3 kHz
    sound = _consonants(notes, rng) * np.sqrt(np.mean(source**2))
    tilt = np.exp(-2 * np.pi * rng.uniform(500, 1600) / RATE)  # the folds themselves are dull
    source = lfilter([1 - tilt], [1, -tilt], source)
    for k, (frequencies, levels) in enumerate(VOWELS[voice]):
        if (vowel == k).any():
            mask = _smooth(_steps(notes, (vowel == k).astype(np.float32)), 0.02)
            raised = np.array(levels) + ringing * np.array((0, 0, 1, 1, 1))
            sound += mask * _formants(source, np.array(frequencies) * size, raised)
    return sound


def _singer(notes, vibrato, unison, rng):
    """The vocal folds of one singer: a band-limited pulse train that follows the notes, and some breath."""
    spread = 0.12 if unison > 1 else 0.03
    late = int(RATE * abs(rng.normal(0, 0.03))) if unison > 1 else 0
    pitch = _smooth(_steps(notes, [note.pitch + rng.normal(0, spread) for note in notes]), rng.uniform(0.008, 0.03))
    time = np.arange(SAMPLES, dtype=np.float32) / RATE
    onset = np.minimum(1, np.maximum(0, _age(notes) - 0.12) * 3)
    depth = vibrato * rng.uniform(0.6, 1.4) + rng.uniform(0.02, 0.12)
    rate = rng.uniform(4.8, 6.6)
    tremble = depth * onset * np.sin(2 * np.pi * (rate * time + rng.random()) + np.sin(time * rng.uniform(0.4, 1.1)))
    drift = np.interp(time, np.arange(0, SECONDS + 1, 0.15), rng.normal(0, 1, int((SECONDS + 1) / 0.15) + 1))
    frequency = 440 * 2 ** ((np.roll(pitch, late) - 69 + tremble + 0.06 * drift) / 12)
    loud = np.roll(_envelope(notes, rng), late) * (1 + 0.12 * tremble / (depth + 0.01))
    breath = rng.uniform(0.01, 0.08) * rng.standard_normal(SAMPLES, np.float32)
    return (loud * (_pulses(frequency, rng.random()) + breath)).astype(np.float32)


def _pulses(frequency, phase):
    """All harmonics below 7.6 kHz in equal strength, in closed form (Dirichlet kernel)."""
    turn = np.pi * (phase + np.cumsum(frequency, dtype=np.float64) / RATE)
    harmonics = np.floor(7600 / frequency)
    below = np.sin(turn)
    flat = np.abs(below) < 1e-4
    kernel = np.sin((2 * harmonics + 1) * turn) / np.where(flat, 1, below)
    return (np.where(flat, 2 * harmonics + 1, kernel) - 1) / np.sqrt(harmonics)


def _formants(source, frequencies, levels):
    """Resonators side by side."""
    from scipy.signal import lfilter

    sound = np.zeros(SAMPLES, np.float32)
    for frequency, level, width in zip(frequencies, levels, BANDWIDTHS, strict=True):
        radius = np.exp(-np.pi * width / RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2]
        sound += 10 ** (level / 20) * (1 - radius) * lfilter([1, 0, -1], poles, source).astype(np.float32)
    return sound


def _edges(notes):
    """First sample of each note but the first: where a singer goes over to the next."""
    return np.array([min(max(int(note.start * RATE), 0), SAMPLES) for note in notes[1:]], int)


def _steps(notes, values):
    """A value per note, held until the next note."""
    bounds = np.concatenate(([0], _edges(notes), [SAMPLES]))
    return np.repeat(np.asarray(values, np.float32), np.diff(bounds))


def _age(notes):
    """Seconds since the note began."""
    starts = _steps(notes, [note.start for note in notes])
    return np.arange(SAMPLES, dtype=np.float32) / RATE - starts


def _envelope(notes, rng):
    """Loudness: silent between notes that do not touch, a dip for a consonant at some that do."""
    loud, syllabic, swell = np.zeros(SAMPLES, np.float32), rng.uniform(0.4, 1.0), rng.uniform(0, 0.4)
    for note, following in zip(notes, [*notes[1:], None], strict=True):
        end = min(note.end, following.start) if following else note.end
        legato = following is not None and following.start - end < 0.09
        end = following.start if legato else end
        loud[int(note.start * RATE) : int(end * RATE)] = (note.velocity / 100) ** 1.5
        if legato and rng.random() < syllabic:
            loud[int((end - rng.uniform(0.03, 0.09)) * RATE) : int(end * RATE)] *= rng.uniform(0.01, 0.3)
        # A long note swells and dies away.
        stretch = loud[int(note.start * RATE) : int(end * RATE)]
        stretch *= 1 - swell * np.cos(np.linspace(0, 2 * np.pi, len(stretch), dtype=np.float32))
    return _smooth(loud, rng.uniform(0.008, 0.025))


def _consonants(notes, rng):
    """A hiss or a burst where some notes begin."""
    noise = np.zeros(SAMPLES, np.float32)
    for note in notes:
        start, length = int(note.start * RATE), int(rng.uniform(0.02, 0.1) * RATE)
        if rng.random() < 0.4 and start > length:
            noise[start - length : start] = rng.normal(0, rng.uniform(0.005, 0.05), length) * np.hanning(length)
    return np.diff(noise, prepend=0).astype(np.float32)


def _smooth(signal, seconds):
    """Low-pass of first order, run forth and back, so that nothing comes late."""
    from scipy.signal import filtfilt

    keep = float(np.exp(-1 / (seconds * RATE)))
    return filtfilt([1 - keep], [1, -keep], signal, padlen=0).astype(np.float32)


# ------------------------------------------------------------------------------------------------------- recording


def record(audio, recording, rng):
    """Put the music into a room and onto a carrier.

    Parameters
    ----------
    audio : numpy.ndarray
        float32, shape (SAMPLES,), at `RATE`.
    recording : str
        A name in `RECORDINGS`.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        float32, shape (SAMPLES,); its peak lies between 0.3 and 0.92: the codec overshoots.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    drawn = {name: rng.uniform(*bounds) for name, bounds in RECORDINGS[recording].items()}
    room = _room(drawn["decay"], drawn["wet"], rng)
    size = next_fast_len(SAMPLES + len(room), real=True)
    spectrum = (
        rfft(audio, size) * rfft(room, size) * _response(size, drawn["limit"], 1.5 * (recording == "mastered"), rng)
    )
    heard = irfft(spectrum, size)[:SAMPLES].astype(np.float32)
    heard /= np.abs(heard).max() + 1e-9
    if drawn["drive"] > 0.1:  # tape or a compressor: the louder, the flatter
        heard = np.tanh(heard * (1 + drawn["drive"])) / np.tanh(1 + drawn["drive"])
    heard += _hiss(drawn["hiss"], np.sqrt(np.mean(heard**2)), rng)
    if recording == "shellac":
        heard = _turntable(heard, rng)
    return (heard / (np.abs(heard).max() + 1e-9) * rng.uniform(0.3, 0.92)).astype(np.float32)


def _room(decay, wet, rng):
    """Impulse response: the direct sound, a few early reflections, a tail of noise whose treble dies first."""
    time = np.arange(int(RATE * decay)) / RATE
    noise = rng.normal(0, 1, len(time))
    dull = _smooth(noise, rng.uniform(0.5, 2) / RATE)
    tail = dull * np.exp(-6.9 * time / decay) + 0.5 * (noise - dull) * np.exp(
        -6.9 * time / (decay * rng.uniform(0.2, 0.5))
    )
    tail[: int(RATE * rng.uniform(0.005, 0.03))] = 0
    tail *= np.sqrt(wet / (1 - wet)) / (np.sqrt((tail**2).sum()) + 1e-9)
    for delay in rng.uniform(0.003, 0.04, 5):
        tail[int(delay * RATE)] += rng.normal(0, 0.25 * wet)
    tail[0] += 1
    return tail.astype(np.float32)


def _response(size, limit, brightness, rng):
    """Frequency response of microphones and carrier: a tilt, some waves of a few dB, limits below and above."""
    frequency = np.maximum(np.arange(size // 2 + 1) * RATE / size, 1.0)
    octaves = np.log2(frequency / 1000)
    level = rng.normal(brightness, 0.9) * np.clip(octaves, -4, 3)
    level += np.interp(octaves, np.linspace(-4, 3, 7), rng.normal(0, 1.4, 7))
    level -= 10 * np.log10(1 + (frequency / limit) ** 16)
    level -= 10 * np.log10(1 + (rng.uniform(20, 110) / frequency) ** 4)
    return (10 ** (level / 20)).astype(np.float32)


def _hiss(below, loudness, rng):
    """Noise `below` dB under the music: white, or darker."""
    noise = rng.standard_normal(SAMPLES, np.float32)
    colour = rng.uniform(0, 0.9)
    noise[1:] += colour * noise[:-1]
    return noise * (loudness * 10 ** (-below / 20) / np.sqrt(np.mean(noise**2)))


def _turntable(audio, rng):
    """A worn disc: it turns unevenly and crackles."""
    time = np.arange(SAMPLES)
    wow = rng.uniform(2, 14) * np.sin(2 * np.pi * (1.3 * time / RATE + rng.random()))
    audio = np.interp(time + wow, time, audio)
    ticks = rng.integers(SAMPLES, size=rng.integers(20, 400))
    audio[ticks] += rng.normal(0, 0.15, len(ticks)) * rng.random(len(ticks))
    return audio


def write_mp3(path, audio):
    """Encode as MagnaTagATune is: mp3, `RATE`, mono, 32 kbit/s.

    Parameters
    ----------
    path : Path
    audio : numpy.ndarray
        float, shape (n,), within -1 and 1.
    """
    import soundfile

    soundfile.write(path, audio, RATE, **ENCODING)
