"""Composes the demo's pieces: a minute of original music in the manner of a genre, as notes for General MIDI.

A style (`chant`, `fugue`, `big_band`, ...) is a function of a random generator that returns a `Score`: parts whose
notes are counted in beats. `perform` plays a score: tempo that breathes, timing and loudness that are not quite even.
The building blocks are those of a harmony class: keys, progressions, melodies over chords, accompaniments, drum bars.
"""

import bisect
import functools
import math
from dataclasses import dataclass, field
from typing import NamedTuple

SECONDS = 61  # a piece is as long as its two clips
DRUMS = -1  # instead of a program: the drum kit
MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
    "pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "whole tone": (0, 2, 4, 6, 8, 10),
    "raga": (0, 1, 4, 5, 7, 8, 11),
}
# Seventh chords of jazz: intervals, and the scale one plays over them.
SEVENTHS = {
    "maj7": ((0, 4, 7, 11), "major"),
    "m7": ((0, 3, 7, 10), "dorian"),
    "7": ((0, 4, 7, 10), "mixolydian"),
    "m7b5": ((0, 3, 6, 10), "locrian"),
}
# What a listener would tag, by General MIDI program.
PROGRAM_TAGS = {
    DRUMS: "drums", 0: "piano", 1: "piano", 3: "piano", 4: "piano", 6: "harpsichord", 11: "bells", 14: "bells",
    16: "organ", 17: "organ", 18: "organ", 19: "organ", 20: "organ", 24: "classical guitar", 25: "acoustic guitar",
    26: "guitar", 27: "guitar", 29: "electric guitar", 30: "electric guitar", 32: "bass", 33: "bass", 34: "bass",
    38: "synth", 40: "violin", 41: "viola", 42: "cello", 43: "bass", 45: "strings", 46: "harp", 48: "strings",
    49: "strings", 44: "strings", 50: "synth", 52: "choir", 53: "vocals", 54: "vocals", 56: "trumpet", 57: "horns",
    59: "trumpet", 60: "horn", 61: "horns", 64: "sax", 65: "sax", 66: "sax", 67: "sax", 68: "oboe", 71: "clarinet",
    70: "woodwind", 73: "flute", 74: "flute", 72: "flute", 75: "flute", 80: "synth", 81: "synth", 88: "synth",
    89: "synth", 90: "synth", 91: "synth", 92: "synth", 94: "synth", 95: "synth", 104: "sitar", 105: "banjo",
    110: "fiddle", 47: "drum", 106: "lute", 15: "lute",
}  # fmt: skip


class Note(NamedTuple):
    """One note; `beat` and `length` in beats, `velocity` from 1 to 127."""

    beat: float
    length: float
    pitch: int
    velocity: float


class Key(NamedTuple):
    """A tonic (0 is C) and a name in `MODES`."""

    tonic: int
    mode: str


class Chord(NamedTuple):
    """What sounds from `beat` on: pitch classes, the root first, and the scale that goes with them."""

    beat: float
    length: float
    tones: tuple
    scale: tuple


@dataclass
class Part:
    """One instrument (or singer) and its notes."""

    program: int
    notes: list = field(default_factory=list)
    volume: int = 100
    vibrato: float = 0.0  # semitones
    loose: float = 0.012  # standard deviation of the timing, seconds
    swell: bool = False  # loudness follows the phrase within a note, as a bow or breath can
    singer: str = ""  # bass, tenor, alto, soprano: sung by synthesis.py's voices
    unison: int = 1  # how many sing it together


@dataclass
class Score:
    """A piece: parts, beats per minute, tags beyond the instruments', how freely the tempo and loudness move."""

    tempo: float
    parts: list
    tags: tuple = ()
    rubato: float = 0.01
    dynamics: float = 0.2


# ---------------------------------------------------------------------------------------------- harmony and melody


def beats_of(tempo, meter):
    """Beats in whole bars that last at least `SECONDS`."""
    return meter * math.ceil(SECONDS * tempo / 60 / meter)


@functools.lru_cache(maxsize=4096)
def ladder(pitch_classes, low, high):
    """All pitches of these classes from `low` to `high`, upwards."""
    return tuple(pitch for pitch in range(int(low), int(high) + 1) if pitch % 12 in pitch_classes)


def nearest(pitch_classes, pitch, low=0, high=127):
    """The pitch of these classes nearest to `pitch`, within the range."""
    return min(ladder(tuple(pitch_classes), low, high), key=lambda candidate: (abs(candidate - pitch), candidate))


def walk(pitch, steps, scale, low, high):
    """Go `steps` up or down a scale; turn round at the ends of the range."""
    rungs = ladder(tuple(scale), low, high)
    place = bisect.bisect_left(rungs, pitch) + steps
    top = len(rungs) - 1
    place = -place if place < 0 else 2 * top - place if place > top else place
    return rungs[min(max(place, 0), top)]


def scale_of(key):
    """Pitch classes of a key."""
    return tuple((key.tonic + interval) % 12 for interval in MODES[key.mode])


def triad(key, degree, beat, length, seventh=False):
    """The chord on a degree (0 is the tonic) of a seven-note key. A minor key's dominant is major."""
    mode = "harmonic" if key.mode == "minor" and degree % 7 == 4 else key.mode
    scale = scale_of(Key(key.tonic, mode))
    tones = tuple(scale[(degree + third) % 7] for third in (0, 2, 4, 6)[: 4 if seventh else 3])
    return Chord(beat, length, tones, scale)


def jazz_chord(tonic, offset, quality, beat, length):
    """A seventh chord `offset` semitones above the tonic."""
    intervals, mode = SEVENTHS[quality]
    root = (tonic + offset) % 12
    return Chord(beat, length, tuple((root + i) % 12 for i in intervals), scale_of(Key(root, mode)))


def related_key(rng, key):
    """A neighbour: the dominant, subdominant or relative."""
    if key.mode == "major":
        return rng.choice([Key((key.tonic + 7) % 12, "major"), Key((key.tonic + 9) % 12, "minor")])
    if key.mode == "minor":
        return rng.choice([Key((key.tonic + 3) % 12, "major"), Key((key.tonic + 7) % 12, "minor")])
    return Key((key.tonic + 5) % 12, key.mode)


def sections(rng, key, templates, beats, length, sevenths=False):
    """Chords for a whole piece, in sections A A B A ... of one template of degrees each; B is in a related key.

    Returns
    -------
    list of list of Chord
        One list per section; the last ends at `beats`.
    """
    themes = {"A": (key, rng.choice(templates)), "B": (related_key(rng, key), rng.choice(templates))}
    order = rng.choice(["AABA", "ABAB", "AABB", "ABAA"])
    made, beat = [], 0.0
    while beat < beats:
        theme, degrees = themes[order[len(made) % 4]]
        section = []
        for degree in degrees:
            if beat < beats:
                section.append(triad(theme, degree, beat, min(length, beats - beat), sevenths and rng.random() < 0.6))
                beat += length
        made.append(section)
    return made


def chord_at(chords, beat):
    """The chord that sounds at a beat."""
    return chords[max(0, bisect.bisect_right(chords, beat + 1e-6, key=lambda chord: chord.beat) - 1)]


def span(chords):
    """First beat and end of a run of chords."""
    return chords[0].beat, chords[-1].beat + chords[-1].length


def tune(rng, chords, cells, low, high, velocity=84, leap=0.15, detach=0.95):
    """A melody over chords: three rhythm cells in the order 1 2 1 3, chord tones on the beat, steps between.

    Parameters
    ----------
    rng : random.Random
    chords : list of Chord
    cells : list of tuple of float
        Rhythms of a bar: lengths in beats; a negative one is a rest.
    low, high : int
        Range, MIDI pitch.
    velocity : float
    leap : float
        Share of notes reached by a leap.
    detach : float
        Sounding part of each length.

    Returns
    -------
    list of Note
    """
    motif = [(rng.choice(cells), [rng.choice((-2, -1, -1, 1, 1, 2)) for _ in range(32)]) for _ in range(3)]
    beat, end = span(chords)
    pitch = nearest(chords[0].tones, rng.uniform(low + 2, high - 3), low, high)
    notes, bar = [], 0
    while beat < end - 1e-6:
        cell, contour = motif[(0, 1, 0, 2)[bar % 4]]
        for index, length in enumerate(cell):
            if beat >= end - 1e-6:
                break
            if length > 0:
                chord = chord_at(chords, beat)
                step = rng.choice((-4, -3, 3, 4)) if rng.random() < leap else contour[index % 32]
                pitch = walk(pitch, step, chord.scale, low, high)
                if beat % 1 < 1e-6 and rng.random() < 0.85:
                    pitch = nearest(chord.tones, pitch, low, high)
                stress = 8 if beat % 1 < 1e-6 else 0
                notes.append(Note(beat, min(length, end - beat) * detach, pitch, velocity + stress))
            beat += abs(length)
        bar += 1
    return notes


def figuration(rng, chords, unit, low, high, velocity=80, broken=0.5):
    """Motor rhythm: even notes that alternate broken chords and runs, the figure changing with the chord."""
    notes, pitch = [], (low + high) // 2
    figures = [rng.choice([(0, 1, 2, 1), (0, 2, 1, 2), (2, 1, 0, 1), (0, 1, 2, 3), (3, 2, 1, 0)]) for _ in range(3)]
    for number, chord in enumerate(chords):
        figure, run = figures[number % 3], rng.choice((-1, 1))
        arpeggio = rng.random() < broken
        pitch = nearest(chord.tones, pitch, low, high)
        rungs = ladder(tuple(sorted(chord.tones)), pitch - 5, pitch + 16)
        for k in range(max(1, round(chord.length / unit))):
            if arpeggio:
                sounding = rungs[figure[k % 4] % len(rungs)]
            else:
                pitch = sounding = walk(pitch, run, chord.scale, low, high)
                run = -run if sounding in (low, high) or rng.random() < 0.12 else run
            notes.append(Note(chord.beat + k * unit, unit * 0.92, sounding, velocity + (7 if k % 4 == 0 else 0)))
    return notes


def voicings(chords, low, high, voices):
    """For each chord, `voices` pitches from low to high, led smoothly from the chord before."""
    centres = [low + (high - low) * (k + 0.5) / voices for k in range(voices)]
    previous, led = centres, []
    for chord in chords:
        taken = []
        for k in range(voices):
            wish = 0.7 * previous[k] + 0.3 * centres[k]
            free = [p for p in ladder(tuple(sorted(chord.tones)), low, high) if p not in taken]
            taken.append(min(free, key=lambda pitch, wish=wish: (abs(pitch - wish), pitch)))
        previous = sorted(taken)
        led.append(previous)
    return led


def homophony(rng, chords, ranges, rhythm=(1.0,), velocity=76, ornament=0.15):
    """Voices that move together: chord tones in each range, with passing notes; one list of notes per voice."""
    parts = []
    for low, high in ranges:
        pitch, notes = (low + high) / 2, []
        for number, chord in enumerate(chords):
            tones = (chord.tones[0],) if (low, high) == min(ranges) and number % 2 == 0 else chord.tones
            pitch = nearest(tones, pitch + rng.choice((-2, 0, 2)), low, high)
            beat, index = chord.beat, 0
            while beat < chord.beat + chord.length - 1e-6:
                length = min(rhythm[index % len(rhythm)], chord.beat + chord.length - beat)
                if rng.random() < ornament and length >= 1:
                    other = walk(pitch, rng.choice((-1, 1)), chord.scale, low, high)
                    notes += [
                        Note(beat, length / 2, pitch, velocity),
                        Note(beat + length / 2, length / 2, other, velocity),
                    ]
                else:
                    notes.append(Note(beat, length, pitch, velocity))
                beat, index = beat + length, index + 1
        parts.append(notes)
    return parts


def comping(chords, low, high, voices, rhythm, velocity=70, detach=0.9):
    """Chords struck at `rhythm`: (offset, length) in beats within each chord."""
    notes = []
    for chord, pitches in zip(chords, voicings(chords, low, high, voices), strict=True):
        for offset, length in rhythm:
            if offset < chord.length:
                sounding = min(length, chord.length - offset) * detach
                notes += [Note(chord.beat + offset, sounding, pitch, velocity) for pitch in pitches]
    return notes


def broken_chords(chords, low, high, unit, order=(0, 2, 1, 2), velocity=64, hold=1.0):
    """Chords note by note; (0, 2, 1, 2) is Alberti's order. `hold` beats at least: a pedal."""
    notes = []
    for chord, pitches in zip(chords, voicings(chords, low, high, max(order) + 1), strict=True):
        for k in range(round(chord.length / unit)):
            beat = chord.beat + k * unit
            length = max(unit, min(hold, chord.beat + chord.length - beat))
            notes.append(Note(beat, length, pitches[order[k % len(order)]], velocity + (6 if k == 0 else 0)))
    return notes


def bass_line(rng, chords, low, rhythm, velocity=80, fifths=0.3, detach=0.9):
    """Roots (some fifths) at `rhythm`: lengths in beats, over and over within each chord."""
    notes = []
    for chord in chords:
        root = nearest(chord.tones[:1], low + 5, low, low + 12)
        beat, index, end = chord.beat, 0, chord.beat + chord.length
        while beat < end - 1e-6:
            length = rhythm[index % len(rhythm)]
            pitch = root
            if index and rng.random() < fifths:
                pitch = nearest(chord.tones[2:3], root, low, low + 12)
            if length > 0:
                notes.append(Note(beat, min(length, end - beat) * detach, pitch, velocity + (5 if index == 0 else 0)))
            beat, index = beat + abs(length), index + 1
    return notes


def walking_bass(rng, chords, low, high, velocity=88):
    """A note on every beat: the root, chord tones or steps, and a half-tone below or above the next root."""
    notes, pitch = [], (low + high) // 2
    for chord, following in zip(chords, [*chords[1:], chords[0]], strict=True):
        count = round(chord.length)
        for k in range(count):
            if k == 0:
                pitch = nearest(chord.tones[:1], pitch, low, high)
            elif k == count - 1:
                pitch = nearest(following.tones[:1], pitch, low + 1, high - 1) + rng.choice((-1, 1))
            elif rng.random() < 0.5:
                pitch = nearest(chord.tones[1:], pitch + rng.choice((-4, 4)), low, high)
            else:
                pitch = walk(pitch, rng.choice((-1, 1)), chord.scale, low, high)
            notes.append(Note(chord.beat + k, 0.92, pitch, velocity + rng.uniform(-4, 6)))
    return notes


def imitation(notes, delay, interval, chords, low, high):
    """The same line `delay` beats later and some semitones away, its notes on the beat bent to the harmony."""
    end = span(chords)[1]
    answer = []
    for note in notes:
        beat = note.beat + delay
        if beat + note.length > end:
            break
        chord = chord_at(chords, beat)
        tones = chord.tones if beat % 1 < 1e-6 else chord.scale
        answer.append(note._replace(beat=beat, pitch=nearest(tones, note.pitch + interval, low, high)))
    return answer


def tremolo(notes, unit, softer=0.85):
    """Each note as fast repetitions."""
    return [
        Note(note.beat + k * unit, unit, note.pitch, note.velocity * softer)
        for note in notes
        for k in range(max(1, round(note.length / unit)))
    ]


def transposed(notes, interval, velocity=0):
    """The same notes `interval` semitones away."""
    return [note._replace(pitch=note.pitch + interval, velocity=note.velocity + velocity) for note in notes]


def swung(notes, ratio):
    """Off-beat eighths played late: at `ratio` of the beat."""
    late = ratio - 0.5
    return [note._replace(beat=note.beat + late) if abs(note.beat % 1 - 0.5) < 0.01 else note for note in notes]


def drum_bars(rng, beats, meter, pattern, fill=(), every=8, start=0.0):
    """A drum pattern, (offset, drum, velocity) within a bar, repeated; each `every`-th bar ends with a fill."""
    notes = []
    for bar in range(int((beats - start) // meter)):
        first = start + bar * meter
        filled = fill and bar % every == every - 1
        for offset, drum, velocity in pattern:
            if not (filled and offset >= meter / 2) and rng.random() < 0.98:
                notes.append(Note(first + offset, 0.2, drum, velocity))
        if filled:
            hits = [meter / 2 + k * 0.25 for k in range(int(meter * 2))]
            notes += [
                Note(first + h, 0.2, fill[int(i * len(fill) / len(hits))], 80 + i * 3) for i, h in enumerate(hits)
            ]
        if fill and bar % every == 0:
            notes.append(Note(first, 1.0, 49, 95))
    return notes


# ---------------------------------------------------------------------------------------------------- performance


def perform(score, rng):
    """Play a score: notes in seconds, with rubato, loudness that comes and goes, uneven timing, vibrato.

    Parameters
    ----------
    score : Score
    rng : random.Random

    Returns
    -------
    pretty_midi.PrettyMIDI
        One instrument per part; the name of a sung part is `sing <voice> <number of singers> <vibrato>`.
    """
    import pretty_midi

    beats = max(note.beat + note.length for part in score.parts for note in part.notes)
    clock = _clock(score, beats, rng)
    loudness = _loudness(score, beats, rng)
    silence = rng.choice((0.0, 0.1, 0.3, rng.uniform(0, 2)))  # before the first note
    midi = pretty_midi.PrettyMIDI(resolution=480, initial_tempo=score.tempo)
    for part in score.parts:
        name = f"sing {part.singer} {part.unison} {part.vibrato:.2f}" if part.singer else ""
        instrument = pretty_midi.Instrument(max(part.program, 0), is_drum=part.program == DRUMS, name=name)
        touch = 1.0 if part.singer else rng.choice((0.6, 0.8, 1.0, 1.0))  # staccato to legato
        for note in part.notes:
            start = silence + max(0.0, clock(note.beat) + rng.gauss(0, part.loose))
            end = max(start + 0.04, silence + clock(note.beat + note.length * touch))
            stress = (0.5 + 0.5 * loudness(note.beat) if part.program == DRUMS else loudness(note.beat)) * rng.gauss(
                1, 0.06
            )
            velocity = int(min(127, max(8, note.velocity * stress)))
            instrument.notes.append(pretty_midi.Note(velocity, int(note.pitch), start, end))
        instrument.control_changes.append(pretty_midi.ControlChange(7, part.volume, 0.0))
        if part.swell:
            instrument.control_changes += _expression(score, clock, loudness, beats)
        if part.vibrato:
            instrument.pitch_bends = _vibrato(instrument.notes, part.vibrato, rng)
        midi.instruments.append(instrument)
    return midi


def _clock(score, beats, rng):
    """A function from beats to seconds; the tempo breathes by `score.rubato`."""
    phases = [(rng.uniform(0, 6.3), period) for period in (5.3, 8, 32)]
    step = 0.25
    seconds, drift = [0.0], 0.0
    for k in range(int((beats + 8) / step)):
        drift = 0.97 * drift + rng.gauss(0, 0.12)
        wave = drift + sum(math.sin(2 * math.pi * k * step / period + phase) for phase, period in phases)
        seconds.append(seconds[-1] + step * 60 / score.tempo * math.exp(score.rubato * wave))

    def clock(beat):
        place = beat / step
        whole = min(int(place), len(seconds) - 2)
        return seconds[whole] + (place - whole) * (seconds[whole + 1] - seconds[whole])

    return clock


def _loudness(score, beats, rng):
    """A function from beats to a factor for velocities: a level per stretch, a slow swell within it."""
    stretch = rng.choice((8, 16, 16, 32))
    levels = [max(0.25, 1 - score.dynamics * rng.uniform(0, 2.2)) for _ in range(int(beats / stretch) + 2)]
    period, phase = rng.choice((6, 8, 16)), rng.uniform(0, 6.3)

    def loudness(beat):
        wave = math.sin(2 * math.pi * beat / period + phase)
        return levels[min(int(beat / stretch), len(levels) - 1)] * (1 + 0.6 * score.dynamics * wave)

    return loudness


def _expression(score, clock, loudness, beats):
    """Controller 11 four times a beat."""
    import pretty_midi

    changes = []
    for k in range(int(beats * 2)):
        value = int(min(127, 110 * loudness(k / 2) ** 0.7))
        changes.append(pretty_midi.ControlChange(11, value, clock(k / 2)))
    return changes


def _vibrato(notes, depth, rng):
    """Pitch bends: each long note starts straight and begins to tremble."""
    import pretty_midi

    rate, bends = rng.uniform(4.8, 6.2), []
    for note in notes:
        if note.end - note.start < 0.35:
            continue
        for k in range(int((note.end - note.start - 0.15) * 25)):
            at = k / 25
            amount = depth * min(1, at / 0.4) * math.sin(2 * math.pi * rate * at)
            bends.append(pretty_midi.PitchBend(int(4096 * amount), note.start + 0.15 + at))
        bends.append(pretty_midi.PitchBend(0, note.end))
    return sorted(bends, key=lambda bend: bend.time)


def excerpt(midi, start, seconds):
    """What sounds from `start` on for `seconds`, moved to time zero; notes that reach over an edge are cut.

    Parameters
    ----------
    midi : pretty_midi.PrettyMIDI
    start, seconds : float

    Returns
    -------
    pretty_midi.PrettyMIDI
        Every instrument ends with a controller event at `seconds`, so that it is rendered to there.
    """
    import pretty_midi

    end, cut = start + seconds, pretty_midi.PrettyMIDI(resolution=480)
    for whole in midi.instruments:
        part = pretty_midi.Instrument(whole.program, whole.is_drum, whole.name)
        part.notes = [
            pretty_midi.Note(note.velocity, note.pitch, max(note.start - start, 0.0), min(note.end, end) - start)
            for note in whole.notes
            if note.start < end - 0.02 and note.end > start + 0.02
        ]
        changes = {change.number: change for change in whole.control_changes if change.time <= start}
        now = [pretty_midi.ControlChange(change.number, change.value, 0.0) for change in changes.values()]
        later = [change for change in whole.control_changes if start < change.time < end]
        moved = [pretty_midi.ControlChange(change.number, change.value, change.time - start) for change in later]
        part.control_changes = [*now, *moved, pretty_midi.ControlChange(91, 0, seconds)]
        bends = [bend for bend in whole.pitch_bends if start <= bend.time < end]
        part.pitch_bends = [pretty_midi.PitchBend(bend.pitch, bend.time - start) for bend in bends]
        cut.instruments.append(part)
    return cut
