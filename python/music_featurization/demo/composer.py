"""Compose a minute of music in a style and play it as MIDI.

`compose` writes the notes of a `Style` in beats; `perform` converts them to seconds, with a tempo and a loudness that
vary as a player's do. A `Layer` of a style has a function that chooses pitches: `melody`, `runs`, `block_chord`, ...
"""

import bisect
import functools
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from music_featurization.demo.instruments import DRUM_KIT, DRUMS, INSTRUMENTS

if TYPE_CHECKING:
    import pretty_midi

SECONDS = 58.028  # of a piece: two clips of 29.028 s, the second from 29 s on
MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "raga": (0, 1, 4, 5, 7, 8, 11),
}
TRIAD, SEVENTH, NINTH, HOLLOW = (0, 2, 4), (0, 2, 4, 6), (0, 2, 6, 8, 4), (0, 4)  # scale steps above the root
VELOCITIES = {"x": 104, "o": 66, "?": 58}  # of a drum grid's strokes; `?` is played one time in four

Rhythms = tuple[tuple[float, ...], ...]
Register = tuple[int, int]
Curve = Callable[[np.ndarray], np.ndarray]  # from beats to seconds, or to a factor of the loudness


class Note(NamedTuple):
    """One note; `beat` and `length` in beats, `velocity` from 1 to 127."""

    beat: float
    length: float
    pitch: int
    velocity: float


class Chord(NamedTuple):
    """Pitch classes that sound from `beat` on, the root first, and the scale that goes with them."""

    beat: float
    length: float
    tones: tuple[int, ...]
    scale: tuple[int, ...]


class Layer(NamedTuple):
    """One part of a style. The instrument is drawn for each piece, the rhythms for each section."""

    pitches: Callable[..., tuple[int, ...]]  # of (rng, `Moment`, register, pitches of the section so far)
    instruments: str  # names in `INSTRUMENTS`, separated by spaces; `same` is the instrument of the layer before
    rhythms: Rhythms  # lengths in beats, negative for rests; three are drawn and repeated in the order 1 2 1 3
    register: Register | None = None  # lowest and highest MIDI pitch; None: the instrument's own
    volume: int = 96
    velocity: int = 80
    stack: tuple[int, ...] = (0,)  # intervals in semitones at which the layer is played, a part each
    sounding: float = 0.92  # duration of a note as a share of its length in the rhythm; above 1, notes overlap
    sections: str = "x"  # a character per section, repeated: `x` where the layer plays
    chance: float = 1.0  # share of the pieces that have this layer
    unison: int = 1  # number of singers
    vibrato: float = 0.0  # semitones
    loose: float = 0.012  # standard deviation of the timing, seconds


class Style(NamedTuple):
    """The rules by which a piece is composed."""

    tags: tuple[str, ...]  # of MagnaTagATune; the first always applies, the others may
    tempo: tuple[float, float]  # range of beats per minute
    modes: str  # names in `MODES` to draw from, separated by spaces
    progressions: tuple[tuple[int, ...], ...]  # degrees on which the chords of a section are built, 0 is the tonic
    chord_beats: tuple[int, ...]  # lengths of a chord, one of which is drawn
    layers: tuple["Layer | tuple[Layer, ...]", ...]  # a tuple of layers in the place of one is a choice
    chord: tuple[int, ...] = TRIAD  # scale steps above the root
    melodic_mode: str = ""  # scale of the melodies on the tonic, where it is not the key's
    drums: tuple[dict[str, str], ...] = ({},)  # kits to draw from; a kit is a grid of sixteenths for each drum
    swing: float = 0.5  # where the second eighth of a beat is played; 0.5 is straight
    rubato: float = 0.01  # how much the tempo varies
    dynamics: float = 0.2  # how much the loudness varies


class Part(NamedTuple):
    """What one instrument or singer plays."""

    instrument: str
    layer: Layer
    notes: list[Note]


class Score(NamedTuple):
    """A composed piece: its style, tempo in beats per minute and parts."""

    style: Style
    tempo: float
    parts: list[Part]


class PlayedPart(NamedTuple):
    """A part and the MIDI instrument that plays its notes, in seconds."""

    part: Part
    midi: "pretty_midi.Instrument"


class Moment(NamedTuple):
    """The place of a note: its beat, its place within the chord, the chord, and the chord one beat later."""

    beat: float
    place: int
    chord: Chord
    following: Chord


@functools.lru_cache(maxsize=4096)
def ladder(pitch_classes: tuple[int, ...], register: Register) -> tuple[int, ...]:
    """Return all pitches of these classes within a register, upwards."""
    return tuple(pitch for pitch in range(register[0], register[1] + 1) if pitch % 12 in pitch_classes)


def nearest(pitch_classes: tuple[int, ...], pitch: float, register: Register) -> int:
    """Return the pitch of these classes that is nearest to `pitch`."""
    return min(ladder(pitch_classes, register), key=lambda candidate: (abs(candidate - pitch), candidate))


def walk(pitch: int, steps: int, scale: tuple[int, ...], register: Register) -> int:
    """Go `steps` up or down a scale, and turn round at the ends of the register."""
    rungs = ladder(scale, register)
    place, top = bisect.bisect_left(rungs, pitch) + steps, len(rungs) - 1
    place = -place if place < 0 else 2 * top - place if place > top else place
    return rungs[min(max(place, 0), top)]


def melody(
    rng: random.Random, at: Moment, register: Register, line: list, *, leap: float = 0.15, anchored: float = 0.85
) -> tuple[int, ...]:
    """Move by steps and a share of leaps; on the beat, a share of the notes is a chord tone."""
    pitch = line[-1][0] if line else rng.randint(register[0] + 2, register[1] - 3)
    step = rng.choice((-4, -3, 3, 4)) if rng.random() < leap else rng.choice((-2, -1, -1, 1, 1, 2))
    pitch = walk(pitch, step, at.chord.scale, register)
    on_beat = at.beat % 1 < 1e-6
    return (nearest(at.chord.tones, pitch, register) if on_beat and rng.random() < anchored else pitch,)


def runs(rng: random.Random, at: Moment, register: Register, line: list) -> tuple[int, ...]:
    """Run up and down the scale, and in every second chord over the chord's tones."""
    pitch = line[-1][0] if line else sum(register) // 2
    upwards = len(line) < 2 or line[-1] >= line[-2]
    rungs = at.chord.tones if int(at.chord.beat / at.chord.length) % 2 else at.chord.scale
    return (walk(pitch, 1 if upwards != (rng.random() < 0.12) else -1, rungs, register),)


def block_chord(rng: random.Random, at: Moment, register: Register, line: list) -> tuple[int, ...]:
    """Spread the chord over the register, about a tone for each half octave."""
    low, high = register
    voices = round((high - low) / 6)
    centres = (low + (high - low) * (voice + 0.5) / voices for voice in range(voices))
    return tuple(sorted({nearest(at.chord.tones, centre, register) for centre in centres}))


def arpeggio(
    rng: random.Random, at: Moment, register: Register, line: list, *, order: Sequence[int] = (0, 1, 2, 3, 2, 1)
) -> tuple[int, ...]:
    """Play the tones of a block chord one by one; the order (0, 2, 1, 2) is Alberti's."""
    pitches = block_chord(rng, at, register, line)
    return (pitches[order[at.place % len(order)] % len(pitches)],)


def bass(rng: random.Random, at: Moment, register: Register, line: list, *, fifths: float = 0.3) -> tuple[int, ...]:
    """Play the root, and after it a share of fifths."""
    fifth = at.place > 0 and rng.random() < fifths
    return (nearest(at.chord.tones[-1:] if fifth else at.chord.tones[:1], register[0] + 6, register),)


def walking_bass(rng: random.Random, at: Moment, register: Register, line: list) -> tuple[int, ...]:
    """Begin a chord with its root, walk over chord tones and steps, and approach the next root by a half-tone."""
    pitch = line[-1][0] if line else sum(register) // 2
    if at.place == 0:
        return (nearest(at.chord.tones[:1], pitch, register),)
    if at.following is not at.chord:
        return (nearest(at.following.tones[:1], pitch, register) + rng.choice((-1, 1)),)
    if rng.random() < 0.5:
        return (nearest(at.chord.tones, pitch + rng.choice((-4, 4)), register),)
    return (walk(pitch, rng.choice((-1, 1)), at.chord.scale, register),)


def compose(style: Style, rng: random.Random) -> Score:
    """Compose a piece of at least `SECONDS`."""
    tempo = rng.uniform(*style.tempo)
    sections = harmony(rng, style, (SECONDS + 3) * tempo / 60)
    parts: list[Part] = []
    for choice in style.layers:
        layer = choice if isinstance(choice, Layer) else rng.choice(choice)
        if rng.random() < layer.chance:
            instrument = rng.choice(layer.instruments.split())
            parts += _parts(rng, layer, parts[-1].instrument if instrument == "same" else instrument, sections)
    kit = rng.choice(style.drums)
    if kit:
        parts.append(Part(DRUMS, Layer(bass, DRUMS, (), volume=110, loose=0.006), beat_drums(rng, kit, sections)))
    return Score(style, tempo, [part._replace(notes=swung(part.notes, style.swing)) for part in parts if part.notes])


def harmony(rng: random.Random, style: Style, beats: float) -> list[list[Chord]]:
    """Return the chords of each section: two themes in the order A A B A or the like, B in a related key."""
    tonic, mode, length = rng.randrange(12), rng.choice(style.modes.split()), rng.choice(style.chord_beats)
    themes = {"A": (tonic, rng.choice(style.progressions))}
    themes["B"] = ((tonic + rng.choice((5, 7))) % 12, rng.choice(style.progressions))
    order = rng.choice(("AABA", "ABAB", "AABB"))
    sections: list[list[Chord]] = []
    beat = 0.0
    while beat < beats:
        section_tonic, degrees = themes[order[len(sections) % 4]]
        chords = [
            chord_on(section_tonic, mode, degree, style)._replace(beat=beat + i * length, length=length)
            for i, degree in enumerate(degrees)
        ]
        sections.append(chords)
        beat += len(chords) * length
    return sections


def chord_on(tonic: int, mode: str, degree: int, style: Style) -> Chord:
    """Build a style's chord on a degree of a key; a minor key's dominant is major."""
    scale = scale_of(tonic, "harmonic" if mode == "minor" and degree == 4 else mode)
    tones = tuple(scale[(degree + step) % len(scale)] for step in style.chord)
    return Chord(0, 0, tones, scale_of(tonic, style.melodic_mode) if style.melodic_mode else scale)


def scale_of(tonic: int, mode: str) -> tuple[int, ...]:
    """Return the pitch classes of a key."""
    return tuple((tonic + interval) % 12 for interval in MODES[mode])


def _parts(rng: random.Random, layer: Layer, instrument: str, sections: list[list[Chord]]) -> list[Part]:
    register = layer.register or INSTRUMENTS[instrument].register
    notes = []
    for section, plays in zip(sections, itertools.cycle(layer.sections), strict=False):
        if plays == "x":
            notes += write(rng, layer, register, section)
    return [
        Part(instrument, layer, [note._replace(pitch=note.pitch + interval) for note in notes])
        for interval in layer.stack
    ]


def write(rng: random.Random, layer: Layer, register: Register, chords: list[Chord]) -> list[Note]:
    """Write what a layer plays over the chords of a section."""
    first, second, third = (rng.choice(layer.rhythms) for _ in range(3))
    beat, end = chords[0].beat, chords[-1].beat + chords[-1].length
    notes: list[Note] = []
    line: list[tuple[int, ...]] = []
    for length in itertools.cycle(first + second + first + third):
        if beat > end - 1e-6:
            break
        if length > 0:
            chord = chord_at(chords, beat)
            moment = Moment(beat, round((beat - chord.beat) / length), chord, chord_at(chords, beat + 1))
            line.append(layer.pitches(rng, moment, register, line))
            velocity = layer.velocity + (7 if beat % 1 < 1e-6 else 0)
            sounding = min(length * layer.sounding, end - beat)
            notes += [Note(beat, sounding, pitch, velocity) for pitch in line[-1]]
        beat += abs(length)
    return notes


def chord_at(chords: list[Chord], beat: float) -> Chord:
    """Return the chord that sounds at a beat."""
    return chords[max(0, bisect.bisect_right(chords, beat + 1e-6, key=lambda chord: chord.beat) - 1)]


def beat_drums(rng: random.Random, kit: dict[str, str], sections: list[list[Chord]]) -> list[Note]:
    """Repeat the grid of each drum, one character per sixteenth, to the end of the piece."""
    steps = int(4 * (sections[-1][-1].beat + sections[-1][-1].length))
    return [
        Note(step / 4, 0.2, DRUM_KIT[drum], VELOCITIES[stroke])
        for drum, grid in kit.items()
        for step, stroke in zip(range(steps), itertools.cycle(grid), strict=False)
        if stroke in VELOCITIES and rng.random() < (0.25 if stroke == "?" else 0.98)
    ]


def swung(notes: list[Note], swing: float) -> list[Note]:
    """Move the eighths off the beat to `swing` of the beat."""
    return [note._replace(beat=note.beat + swing - 0.5) if abs(note.beat % 1 - 0.5) < 0.01 else note for note in notes]


def perform(score: Score, rng: np.random.Generator) -> list[PlayedPart]:
    """Play a score for `SECONDS`, with rubato, varying loudness, uneven timing and vibrato."""
    beats = 4 + max(note.beat + note.length for part in score.parts for note in part.notes)
    clock, loudness = _clock(score, beats, rng), _loudness(score.style.dynamics, beats, rng)
    return [PlayedPart(part, _play(part, clock, loudness, rng)) for part in score.parts]


def _play(part: Part, clock: Curve, loudness: Curve, rng: np.random.Generator) -> "pretty_midi.Instrument":
    import pretty_midi

    instrument, layer = INSTRUMENTS[part.instrument], part.layer
    midi = pretty_midi.Instrument(instrument.program, is_drum=part.instrument == DRUMS)
    midi.control_changes.append(pretty_midi.ControlChange(7, layer.volume, 0.0))
    touch = 1.0 if instrument.is_voice else rng.choice((0.7, 0.85, 1.0, 1.0))  # staccato to legato
    beats, lengths, pitches, velocities = np.array(part.notes, float).T
    starts = np.maximum(0, clock(beats) + rng.normal(0, layer.loose, len(beats)))
    ends = np.minimum(np.maximum(starts + 0.04, clock(beats + lengths * touch)), SECONDS)
    exponent = 0.5 if part.instrument == DRUMS else 1
    strength = velocities * loudness(beats) ** exponent * rng.normal(1, 0.06, len(beats))
    for start, end, pitch, velocity in zip(starts, ends, pitches, np.clip(strength, 8, 127), strict=True):
        if end > start:
            midi.notes.append(pretty_midi.Note(int(velocity), int(pitch), start, end))
    if layer.vibrato and not instrument.is_voice:  # a singer's is synthesised
        midi.pitch_bends = [pretty_midi.PitchBend(*bend) for bend in _vibrato(midi.notes, layer.vibrato, rng)]
    return midi


def _clock(score: Score, beats: float, rng: np.random.Generator) -> Curve:
    """Return a function from beats to seconds; the tempo varies by the style's rubato."""
    grid = np.arange(0, beats + 1, 0.25)
    waves = sum(np.sin(2 * np.pi * (grid / period + rng.random())) for period in (5.3, 8, 32))
    seconds = np.cumsum(0.25 * 60 / score.tempo * np.exp(score.style.rubato * waves))
    silence = rng.choice((0.0, 0.1, 0.3, 1.0))  # before the first note
    return lambda beat: np.interp(beat, grid, silence + seconds - seconds[0])


def _loudness(dynamics: float, beats: float, rng: np.random.Generator) -> Curve:
    """Return a function from beats to a factor for velocities: a level for each stretch, a swell within it."""
    stretch, period, phase = rng.choice((8, 16, 32)), rng.choice((6, 8, 16)), rng.uniform(0, 2 * np.pi)
    levels = np.maximum(0.3, 1 - dynamics * rng.uniform(0, 2.2, int(beats / stretch) + 2))

    def loudness(beat: np.ndarray) -> np.ndarray:
        swell = 1 + 0.6 * dynamics * np.sin(2 * np.pi * beat / period + phase)
        return levels[(beat / stretch).astype(int)] * swell

    return loudness


def _vibrato(notes: "list[pretty_midi.Note]", depth: float, rng: np.random.Generator) -> Iterator[tuple[int, float]]:
    """Yield pitch bends as (value, time)."""
    rate = rng.uniform(4.8, 6.2)
    for note in sorted(notes, key=lambda note: note.start):
        for age in np.arange(0.15, note.end - note.start, 0.04):
            yield int(4096 * depth * min(1, 2 * age) * np.sin(2 * np.pi * rate * age)), note.start + age
        yield 0, note.end
