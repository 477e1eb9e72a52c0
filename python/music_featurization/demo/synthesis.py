"""Turn a played piece into a recording: sound font, sung voices, guitar amplifier, room, microphone, mp3."""

import functools
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from music_featurization.artifacts import SOUND_FONT, PipelineError
from music_featurization.demo.composer import PlayedPart
from music_featurization.demo.instruments import VOICES
from music_featurization.demo.singing import sing

RATE = 16_000  # Hz, as MagnaTagATune
CLIP_SAMPLES = 464_448  # 29.028 s, whole frames of mp3
STARTS = (0, 29)  # seconds, of the clips of a piece
SAMPLES = STARTS[-1] * RATE + CLIP_SAMPLES
ENCODING = {  # exactly 32 kbit/s, as MagnaTagATune; 0.84 is the middle of the range that gives it (0.81 to 0.86)
    "format": "MP3",
    "subtype": "MPEG_LAYER_III",
    "bitrate_mode": "CONSTANT",
    "compression_level": 0.84,
}
AMPLIFIED = ("overdriven", "distorted")  # instruments that go through the guitar amplifier


class Recording(NamedTuple):
    """Ranges of what a recording adds to the music."""

    decay: tuple[float, float]  # of the room, seconds to -60 dB
    wet: tuple[float, float]  # share of the reverberation
    limit: tuple[float, float]  # highest frequency, Hz
    hiss: tuple[float, float]  # dB below the music
    drive: tuple[float, float]  # of tape or compressor: the higher, the less dynamic
    ticks: int = 0  # of a worn disc


RECORDINGS = {
    "church": Recording((1.6, 4.0), (0.15, 0.5), (5500, 8000), (58, 95), (0.0, 0.3)),
    "hall": Recording((1.2, 2.4), (0.12, 0.4), (5500, 8000), (58, 95), (0.0, 0.4)),
    "chamber": Recording((0.5, 1.2), (0.08, 0.25), (6000, 8000), (58, 95), (0.0, 0.5)),
    "studio": Recording((0.2, 0.7), (0.03, 0.15), (7000, 8000), (65, 95), (0.3, 2.0)),
    "mastered": Recording((0.2, 0.8), (0.03, 0.15), (7500, 8000), (70, 95), (1.5, 6.0)),
    "shellac": Recording((0.3, 1.2), (0.05, 0.25), (3000, 5000), (25, 45), (0.5, 2.0), 600),
}


def default_soundfont() -> Path:
    """Return the path of the sound font that comes with pretty_midi."""
    import pretty_midi

    return Path(pretty_midi.__file__).parent / SOUND_FONT


def check_soundfont(path: Path) -> Path:
    """Return the absolute path of a sound font; raise PipelineError if it is missing or not SoundFont 2."""
    path = path.absolute()
    if not path.is_file():
        raise PipelineError(f"There is no sound font {path}. Give an .sf2 file, or leave --soundfont out.")
    with open(path, "rb") as file:
        head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"sfbk" or path.suffix.lower() == ".sf3":
        raise PipelineError(f"{path} is not a SoundFont 2 file (.sf2); compressed ones (.sf3) cannot be played.")
    return path


def render(played: list[PlayedPart], soundfont: Path, recording: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Render a piece as one of `RECORDINGS`.

    Returns
    -------
    list of numpy.ndarray
        The clips: float32, shape (CLIP_SAMPLES,), at `RATE`; the peak is between 0.3 and 0.92 (the codec overshoots).
    """
    voices = [part for part in played if part.part.instrument in VOICES and part.midi.notes]
    guitars = [part for part in played if part.part.instrument in AMPLIFIED]
    others = [part for part in played if part not in voices and part not in guitars]
    audio = play(others, soundfont)
    if guitars:
        audio += amplify(play(guitars, soundfont), rng)
    if voices:
        sung = sum((_sing(part, rng) for part in voices), np.zeros(SAMPLES, np.float32))
        audio += balance(sung, audio, rng.uniform(0.8, 2.2))
    heard, peak = record(audio, RECORDINGS[recording], rng), rng.uniform(0.3, 0.92)
    clips = [heard[start * RATE :][:CLIP_SAMPLES] for start in STARTS]
    return [(clip * (peak / (np.abs(clip).max() + 1e-9))).astype(np.float32) for clip in clips]


def _sing(played: PlayedPart, rng: np.random.Generator) -> np.ndarray:
    layer, voice = played.part.layer, played.part.instrument
    sung = sing(
        played.midi.notes, voice, unison=layer.unison, vibrato=layer.vibrato, samples=SAMPLES, rate=RATE, rng=rng
    )
    return sung * (layer.volume / 100)


@functools.lru_cache(maxsize=4)
def _font(path: Path) -> bytes:
    return path.read_bytes()


def play(played: list[PlayedPart], soundfont: Path) -> np.ndarray:
    """Render parts with a sound font: float32, shape (SAMPLES,)."""
    if not played:
        return np.zeros(SAMPLES, np.float32)
    import midirenderer
    import pretty_midi
    import soundfile
    import soxr

    midi, file = pretty_midi.PrettyMIDI(resolution=480), io.BytesIO()
    midi.instruments = [part.midi for part in played]
    midi.write(file)
    wave = midirenderer.render_wave_from(_font(soundfont), file.getvalue())
    # The renderer's own rate is 48 kHz. Rendering at 16 kHz would fold the upper partials back.
    audio, rate = soundfile.read(io.BytesIO(wave), dtype="float32")
    audio = soxr.resample(audio.mean(axis=1), rate, RATE)[:SAMPLES]
    return np.pad(audio, (0, SAMPLES - len(audio)))


def balance(voices: np.ndarray, band: np.ndarray, ratio: float) -> np.ndarray:
    """Scale voices to `ratio` times the loudness of the band, or to 0.1 where there is no band."""
    loudness = _loudness(band)
    return voices * ((ratio * loudness if loudness > 1e-4 else 0.1) / (_loudness(voices) + 1e-9))


def amplify(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Overdrive a guitar amplifier and its loudspeaker."""
    from scipy.signal import butter, sosfilt

    level = _loudness(audio) + 1e-9
    driven = np.tanh(audio / level * rng.uniform(1.5, 8)) + 0.15 * np.tanh(audio / level * 2) ** 2
    cabinet = butter(2, (rng.uniform(70, 130), rng.uniform(3800, 6000)), "bandpass", fs=RATE, output="sos")
    shaped = sosfilt(cabinet, driven)
    return (shaped * (level * rng.uniform(0.8, 1.4) / (_loudness(shaped) + 1e-9))).astype(np.float32)


def _loudness(audio: np.ndarray) -> float:
    return np.sqrt(np.mean(audio**2))


def record(audio: np.ndarray, recording: Recording, rng: np.random.Generator) -> np.ndarray:
    """Put the music into a room and onto a carrier; float32, shape (SAMPLES,), of any level."""
    from scipy.fft import irfft, next_fast_len, rfft

    decay, wet, limit, hiss, drive = (rng.uniform(*bounds) for bounds in recording[:5])
    room = _room(decay, wet, rng)
    size = next_fast_len(len(audio) + len(room), real=True)
    response = _response(size, limit, 1.5 * (recording.drive[0] > 1), rng)
    heard = irfft(rfft(audio, size) * rfft(room, size) * response, size)[: len(audio)]
    heard /= np.abs(heard).max() + 1e-9
    if drive > 0.1:
        heard = np.tanh(heard * (1 + drive)) / np.tanh(1 + drive)
    noise = rng.standard_normal(len(audio))
    noise[1:] += rng.uniform(0, 0.9) * noise[:-1]  # white, or darker
    heard += noise * (_loudness(heard) * 10 ** (-hiss / 20) / _loudness(noise))
    ticks = rng.integers(len(audio), size=recording.ticks)
    heard[ticks] += rng.normal(0, 0.15, len(ticks)) * rng.random(len(ticks))
    return heard.astype(np.float32)


def _room(decay: float, wet: float, rng: np.random.Generator) -> np.ndarray:
    """Return an impulse response: the direct sound, and noise whose treble decays first."""
    from scipy.signal import lfilter

    time = np.arange(int(RATE * decay)) / RATE
    noise = rng.normal(0, 1, len(time))
    keep = rng.uniform(0.3, 0.7)
    dull = lfilter([1 - keep], [1, -keep], noise)
    tail = dull * np.exp(-6.9 * time / decay)
    tail += 0.5 * (noise - dull) * np.exp(-6.9 * time / (decay * rng.uniform(0.2, 0.5)))
    tail[: int(RATE * rng.uniform(0.005, 0.03))] = 0
    tail *= np.sqrt(wet / (1 - wet)) / (np.sqrt((tail**2).sum()) + 1e-9)
    tail[0] = 1
    return tail


def _response(size: int, limit: float, brightness: float, rng: np.random.Generator) -> np.ndarray:
    """Return the frequency response of microphones and carrier: a tilt, waves of a few dB, a limit on each side."""
    frequency = np.maximum(np.arange(size // 2 + 1) * RATE / size, 1.0)
    octaves = np.log2(frequency / 1000)
    level = rng.normal(brightness, 0.9) * np.clip(octaves, -4, 3)
    level += np.interp(octaves, np.linspace(-4, 3, 7), rng.normal(0, 1.4, 7))
    level -= 10 * np.log10(1 + (frequency / limit) ** 16)
    level -= 10 * np.log10(1 + (rng.uniform(20, 110) / frequency) ** 4)
    return 10 ** (level / 20)


def write_mp3(path: Path, audio: np.ndarray) -> None:
    """Encode as MagnaTagATune is: mp3, `RATE`, mono, 32 kbit/s."""
    import soundfile

    soundfile.write(path, audio, RATE, **ENCODING)
