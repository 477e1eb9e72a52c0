"""The styles the demo's pieces are composed in, six genres and a few that are none of them.

Each style is a function of a random generator that returns a `demo_music.Score` with the hallmarks of its genre:
medieval drones and modes, baroque sequences and counterpoint, Alberti basses and symphonic textures, a sung line over
an orchestra, swing and walking bass, backbeat and power chords. Instruments are drawn anew for each piece and
shared between genres where real ones share them, so that no instrument gives a genre away.
"""

from music_featurization.demo.composer import (
    DRUMS,
    Chord,
    Key,
    Note,
    Part,
    Score,
    bass_line,
    beats_of,
    broken_chords,
    chord_at,
    comping,
    drum_bars,
    figuration,
    homophony,
    imitation,
    jazz_chord,
    nearest,
    scale_of,
    sections,
    span,
    swung,
    transposed,
    tremolo,
    tune,
    walk,
    walking_bass,
)

KICK, SNARE, STICK, CLAP, CLOSED_HAT, PEDAL_HAT, OPEN_HAT, CRASH, RIDE = 36, 38, 37, 39, 42, 44, 46, 49, 51
LOW_TOM, MIDDLE_TOM, HIGH_TOM, TAMBOURINE, HIGH_BONGO, LOW_BONGO, SHAKER, BRUSH = 41, 45, 48, 54, 60, 61, 70, 40

# Progressions as degrees of the scale, 0 the tonic.
CLASSICAL = [(0, 0, 4, 4, 4, 4, 0, 0), (0, 3, 0, 4, 0, 3, 4, 0), (0, 5, 3, 4, 0, 1, 4, 0), (0, 4, 0, 3, 1, 4, 0, 4)]
BAROQUE = [(0, 3, 6, 2, 5, 1, 4, 0), (0, 4, 5, 2, 3, 0, 3, 4), (0, 6, 5, 4, 0, 3, 4, 0), (0, 5, 1, 4, 0, 3, 1, 4)]
ROMANTIC = [(0, 5, 3, 1, 4, 4, 0, 0), (0, 2, 5, 3, 1, 4, 2, 5), (0, 3, 1, 5, 3, 1, 4, 0), (5, 3, 0, 4, 5, 1, 2, 2)]
ROCK = [(0, 5, 3, 4), (0, 4, 5, 3), (0, 3, 0, 4), (0, 6, 3, 0), (0, 5, 6, 0), (5, 3, 0, 4), (0, 0, 3, 0)]
BLUES = [(0, 0, 0, 0, 3, 3, 0, 0, 4, 3, 0, 0), (0, 3, 0, 0, 3, 3, 0, 0, 4, 3, 0, 4)]


def flat(chords_by_section):
    """All chords of a piece in one list."""
    return [chord for section in chords_by_section for chord in section]


def key_in(rng, *modes):
    """A key with one of these modes."""
    return Key(rng.randrange(12), rng.choice(modes))


def take_turns(rng, made, write, programs, **part):
    """The melody changes hands: `write(section)` gives the notes of a section, the next program plays them."""
    parts = {program: Part(program, **part) for program in programs}
    for number, section in enumerate(made):
        parts[programs[number % len(programs)]].notes += write(section)
    return [given for given in parts.values() if given.notes]


# ------------------------------------------------------------------------------------------------------- medieval

CHANT_MODES = ("dorian", "phrygian", "mixolydian", "dorian", "lydian")


def chant_line(rng, key, beats, low):
    """Free rhythm: rises from the final to the reciting tone, circles it, falls back, and breathes."""
    scale, high = scale_of(key), low + 15
    final = nearest((key.tonic,), low + 3, low, low + 11)
    beat, notes = 0.0, []
    while beat < beats:
        syllables = rng.randint(8, 18)
        pitch = final if rng.random() < 0.6 else walk(final, 2, scale, low, high)
        for k in range(syllables):
            goal = final if k > syllables * 0.7 else walk(final, rng.choice((2, 3, 4, 4)), scale, low, high)
            step = rng.choice((-1, 1, 1, 2)) if pitch < goal else rng.choice((-2, -1, -1, 1)) if pitch > goal else 0
            pitch = walk(pitch, step if rng.random() < 0.85 else rng.choice((-1, 1)), scale, low, high)
            length = rng.choice((0.5, 1, 1, 1, 1.5)) if k < syllables - 2 else 1.5
            notes.append(Note(beat, length, pitch, 80))
            beat += length
        notes.append(Note(beat, 2.5, final, 74))
        beat += 2.5 + rng.choice((1.0, 1.5, 2.0, 4.0))
    return [note for note in notes if note.beat < beats]


def chant(rng):
    """Plainsong: voices in unison or octaves, no metre; sometimes over a drone or in parallel fifths."""
    tempo, key = rng.uniform(85, 150), key_in(rng, *CHANT_MODES)
    beats = beats_of(tempo, 4)
    voice, low = rng.choice([("bass", 41), ("tenor", 46), ("tenor", 47), ("alto", 55), ("soprano", 58)])
    line = chant_line(rng, key, beats, low + rng.randint(0, 3))
    parts = [Part(52, line, 110, loose=0.03, singer=voice, unison=rng.choice((1, 2, 3, 4)))]
    texture = rng.choice(("unison", "unison", "octaves", "fifths", "drone"))
    if texture == "octaves":
        parts.append(Part(52, transposed(line, 12, -10), 90, loose=0.03, singer="alto", unison=3))
    if texture == "fifths":
        parts.append(Part(52, transposed(line, 7, -4), 96, loose=0.03, singer=voice, unison=2))
    if texture == "drone":
        parts.append(Part(52, drone(key, beats, low - 6, 8), 84, singer="bass", unison=2))
    return Score(tempo, parts, ("medieval", "chant", "chanting", "choir", "vocal"), rubato=0.05, dynamics=0.25)


def drone(key, beats, low, length=16, fifth=False, velocity=70):
    """The tonic (and its fifth) held throughout."""
    root = nearest((key.tonic,), low + 5, low, low + 11)
    pitches = (root, root + 7) if fifth else (root,)
    return [
        Note(k * length, length * 0.99, pitch, velocity) for k in range(int(beats / length) + 1) for pitch in pitches
    ]


def organum(rng):
    """Notre-Dame manner: a tenor in long notes, upper voices in triple rhythm that meet it in fifths."""
    tempo, key = rng.uniform(120, 190), key_in(rng, *CHANT_MODES)
    beats = beats_of(tempo, 3)
    chords = [hollow(key, rng.choice((0, 0, 3, 4, 6)), k * 12, 12) for k in range(beats // 12 + 1)]
    tenor = [Note(chord.beat, 11.5, nearest(chord.tones[:1], 48, 43, 55), 78) for chord in chords]
    rhythms = [(2, 1), (1.5, 0.5, 1), (3,), (2, 1), (1, 1, 1)]
    upper = [tune(rng, chords, rhythms, low, low + 14, 78, leap=0.08) for low in (54, 57)[: rng.randint(1, 2)]]
    sung = rng.random() < 0.75
    parts = [Part(rng.choice((19, 20, 42)), tenor, 96, singer="bass" if sung else "", unison=2)]
    program = rng.choice((68, 74, 110))
    for line in upper:
        parts.append(Part(program, line, 100, loose=0.02, singer="tenor" if sung else "", unison=rng.choice((1, 2))))
    return Score(tempo, parts, ("medieval", "choir", "classical")[: rng.choice((1, 2, 3)) if sung else 1], 0.03, 0.15)


def hollow(key, degree, beat, length):
    """A chord without its third."""
    scale = scale_of(key)
    return Chord(beat, length, (scale[degree % 7], scale[(degree + 4) % 7]), scale)


def estampie(rng):
    """A dance in triple time: short repeated strains over a drone and a hand drum."""
    tempo, key = rng.uniform(140, 230), key_in(rng, "dorian", "mixolydian", "mixolydian", "dorian")
    beats = beats_of(tempo, 6)
    chords = [hollow(key, rng.choice((0, 0, 0, 6)), k * 6, 6) for k in range(beats // 6)]
    strain = tune(rng, chords[:4], [(1, 1, 1, 2, 1), (2, 1, 2, 1), (3, 2, 1), (1, 1, 1, 1, 1, 1)], 62, 79, 90, 0.1)
    other = tune(rng, chords[:4], [(2, 1, 1, 1, 1), (1, 1, 1, 3), (2, 1, 3)], 64, 83, 92, 0.1)
    melody = []
    for k in range(int(beats / 24) + 1):
        moved = [note._replace(beat=note.beat + 24 * k) for note in (strain, strain, other, other)[k % 4]]
        melody += [note for note in moved if note.beat < beats]
    lead = rng.choice((74, 73, 68, 109, 110, 111, 40, 15, 75))
    parts = [Part(lead, melody, 104, loose=0.015)]
    if rng.random() < 0.5:
        parts.append(
            Part(rng.choice((110, 74, 15, 24, 46)), transposed(melody, rng.choice((-12, 0, 7))), 84, loose=0.02)
        )
    parts.append(Part(rng.choice((109, 110, 20, 21, 42)), drone(key, beats, 43, 12, True), rng.randint(60, 90)))
    if rng.random() < 0.7:
        drum, ring = rng.choice(((LOW_TOM, TAMBOURINE), (HIGH_BONGO, TAMBOURINE), (LOW_BONGO, HIGH_BONGO)))
        beat = [(0, drum, 92), (2, drum, 60), (3, drum, 80), (5, ring, 58), (4, ring, 50)]
        parts.append(Part(DRUMS, drum_bars(rng, beats, 6, beat), 84))
    return Score(tempo, parts, ("medieval", "drone", "folk")[: rng.choice((1, 2, 2, 3))], 0.01, 0.12)


def troubadour(rng):
    """A song: one voice (or a fiddle, a flute), a lute or harp that plucks fifths and repeats the tune's turns."""
    tempo, key = rng.uniform(70, 120), key_in(rng, *CHANT_MODES)
    beats = beats_of(tempo, 3)
    chords = [hollow(key, rng.choice((0, 0, 6, 4, 3)), k * 3, 3) for k in range(beats // 3)]
    line = tune(rng, chords, [(1, 1, 1), (2, 1), (1.5, 0.5, 1), (2, -1), (0.5, 0.5, 1, 1)], 52, 69, 82, 0.08)
    voice = rng.choice(("tenor", "tenor", "alto", "soprano", ""))
    high = {"tenor": 0, "alto": 7, "soprano": 12, "": 12}[voice]
    pluck = rng.choice((24, 24, 46, 15, 106, 25))
    parts = [Part(rng.choice((74, 110, 73)), transposed(line, high), 104, loose=0.03, singer=voice)]
    figure = rng.choice(((0, 1, 2), (0, 2, 1), (0, 1, 0)))
    parts.append(Part(pluck, broken_chords(chords, 45, 64, rng.choice((1, 0.5)), figure, 62, 2), 92, loose=0.02))
    if rng.random() < 0.4:
        parts.append(Part(110, drone(key, beats, 43, 12, True, 60), 60))
    return Score(tempo, parts, ("medieval", "vocal", "folk")[: rng.choice((1, 2, 3))], 0.05, 0.2)


# -------------------------------------------------------------------------------------------------------- baroque

RUNNING = [(0.5,) * 8, (1, 0.5, 0.5, 1, 1), (0.5, 0.25, 0.25) * 4, (1.5, 0.5, 0.5, 0.5, 1), (0.25,) * 8 + (0.5,) * 4]


def continuo(rng, chords, busy, strings=False):
    """Figured bass: cello or bassoon on the line, harpsichord, organ or lute with the chords."""
    line = bass_line(rng, chords, 36, (0.5,) if busy else (1, 1), 78, fifths=0.35, detach=0.8)
    keyboard = rng.choice((6, 6, 6, 19, 20, 24))
    parts = [Part(rng.choice((42, 42, 70, 43)), line, rng.randint(85, 105)), Part(keyboard, list(line), 66)]
    rhythm = rng.choice(([(0, 2)], [(0, 1), (1, 1)], [(0, 0.5), (0.5, 0.5), (1, 1)]))
    parts[1].notes += comping(chords, 52, 72, 3, rhythm, 64)
    if strings:
        parts.append(Part(rng.choice((48, 49)), comping(chords, 50, 74, 3, [(0, 4)], 58), 70, swell=True))
    return parts


def trio_sonata(rng):
    """Two trebles in imitation over a continuo, the harmony falling by fifths."""
    tempo, key = rng.uniform(66, 126), key_in(rng, "major", "minor")
    beats = beats_of(tempo, 4)
    chords = flat(sections(rng, key, BAROQUE, beats, 2))
    first = tune(rng, chords, RUNNING, 64, 84, 84, 0.12)
    second = imitation(first, rng.choice((2, 4)), rng.choice((-5, -7, 0)), chords, 60, 79)
    trebles = rng.choice(((68, 68), (73, 40), (40, 40), (74, 74), (68, 40), (73, 68), (60, 40)))
    parts = [
        Part(program, line, 100, 0.12 if program == 40 else 0.0)
        for program, line in zip(trebles, (first, second), strict=True)
    ]
    parts += continuo(rng, chords, rng.random() < 0.5)
    return Score(tempo, parts, ("baroque", "classical")[: rng.randint(1, 2)], 0.012, 0.12)


def concerto(rng):
    """Ritornello and solo: string band in driving eighths, then a soloist's running sixteenths over thin chords."""
    tempo, key = rng.uniform(84, 132), key_in(rng, "major", "minor", "minor")
    made = sections(rng, key, BAROQUE, beats_of(tempo, 4), rng.choice((2, 2, 4)))
    chords, solo = flat(made), Part(rng.choice((40, 40, 40, 68, 73, 56, 42)), [], 112, 0.1)
    violins, low_strings, harpsichord = Part(48, [], 104), Part(rng.choice((42, 43)), [], 100), Part(6, [], 60)
    low = 40 if solo.program == 42 else 62
    for number, section in enumerate(made):
        solo.notes += figuration(rng, section, 0.25, low, low + 22, 86, 0.45)
        if number % 2 == 0:
            violins.notes += transposed(tune(rng, section, RUNNING, 62, 82, 88, 0.2), 0)
            violins.notes += comping(section, 52, 70, 2, [(k / 2, 0.5) for k in range(8)], 74, 0.7)
        else:
            violins.notes += comping(section, 55, 74, 3, [(0, 0.5), (1, 0.5)], 56, 0.6)
    low_strings.notes = bass_line(rng, chords, 36, (0.5,), 84, 0.2, 0.75)
    harpsichord.notes = comping(chords, 48, 72, 4, [(0, 1), (1, 1)], 66)
    return Score(
        tempo, [solo, violins, low_strings, harpsichord], ("baroque", "classical")[: rng.randint(1, 2)], 0.008, 0.2
    )


def fugue(rng):
    """A subject in one voice after another, each going on in free counterpoint."""
    tempo, key = rng.uniform(60, 112), key_in(rng, "major", "minor", "minor")
    chords = flat(sections(rng, key, BAROQUE, beats_of(tempo, 4), 2))
    subject = tune(rng, chords[:4], RUNNING, 62, 77, 84, 0.2)
    ranges = [(62, 79), (52, 69), (67, 86), (38, 55)][: rng.choice((3, 4, 4))]
    lines = []
    for entry, (low, high) in enumerate(ranges):
        start = entry * 8
        head = [note._replace(beat=note.beat + start, pitch=nearest(scale_of(key), note.pitch + shift, low, high))
                for note in subject for shift in ((0, -7, 5, -19)[entry],)]  # fmt: skip
        rest = [chord for chord in chords if chord.beat >= start + 8]
        lines.append(
            head + tune(rng, rest, RUNNING if entry != 3 else [(1, 1, 1, 1), (2, 2), (1, 0.5, 0.5, 2)], low, high, 80)
        )
    program = rng.choice((19, 19, 19, 6, 6, 48, 0))
    parts = [Part(program, line, 100, loose=0.008) for line in lines]
    if program == 19 and rng.random() < 0.5:
        parts.append(Part(19, transposed(lines[0], 12, -20), 80))
    return Score(tempo, parts, ("baroque", "classical")[: rng.choice((1, 1, 2))], 0.015, 0.05)


def prelude(rng):
    """One player: broken chords and runs in even notes on harpsichord, organ, cello, lute or piano."""
    tempo, key = rng.uniform(56, 104), key_in(rng, "major", "minor")
    chords = flat(sections(rng, key, BAROQUE, beats_of(tempo, 4), rng.choice((2, 4))))
    program, low, high = rng.choice(
        ((6, 55, 81), (6, 50, 79), (19, 57, 84), (42, 38, 60), (24, 48, 72), (40, 57, 82), (0, 55, 81))
    )
    unit = rng.choice((0.25, 0.25, 0.5))
    parts = [Part(program, figuration(rng, chords, unit, low, high, 78, rng.uniform(0.4, 0.9)), 112, loose=0.012)]
    if program in (6, 19, 24, 0):
        rhythm = rng.choice(((2, 2), (1, 1), (4,), (0.5, 0.5, 1)))
        parts.append(Part(program, bass_line(rng, chords, 36, rhythm, 74, 0.3), 100))
    return Score(tempo, parts, ("baroque", "classical", "solo")[: rng.randint(1, 3)], rng.choice((0.01, 0.04)), 0.15)


def cantata(rng):
    """A chorale of four sung parts with organ and strings, or an aria with an instrument that answers the voice."""
    tempo, key = rng.uniform(56, 92), key_in(rng, "major", "minor")
    made = sections(rng, key, BAROQUE, beats_of(tempo, 4), rng.choice((1, 2)))
    chords = flat(made)
    if rng.random() < 0.5:
        lines = homophony(rng, chords, [(43, 57), (50, 64), (57, 70), (62, 77)], (1.0,), 80, 0.35)
        names = ("bass", "tenor", "alto", "soprano")
        parts = [Part(52, line, 96, singer=name, unison=3) for line, name in zip(lines, names, strict=True)]
        parts += [Part(rng.choice((19, 48)), [note for line in lines for note in line], 70)]
        return Score(tempo, parts, ("baroque", "choir", "classical")[: rng.randint(2, 3)], 0.03, 0.15)
    voice, low = rng.choice((("soprano", 62), ("alto", 57), ("tenor", 50)))
    line = tune(rng, chords, [*RUNNING[:4], (2, 1, -1)], low, low + 16, 84)
    parts = [Part(53, line, 104, singer=voice), *continuo(rng, chords, rng.random() < 0.6, True)]
    parts.append(Part(rng.choice((68, 73, 40)), tune(rng, chords, RUNNING, 64, 84, 80), 90, 0.08))
    return Score(tempo, parts, ("baroque", "vocal", "opera", "classical")[: rng.choice((2, 2, 4))], 0.02, 0.2)


def overture(rng):
    """Festive: dotted rhythms, trumpets and drums with strings, oboes and harpsichord."""
    tempo, key = rng.uniform(58, 120), key_in(rng, "major", "major", "minor")
    made = sections(rng, key, BAROQUE + CLASSICAL, beats_of(tempo, 4), 2)
    chords = flat(made)
    dotted = [(0.75, 0.25) * 4, (1.75, 0.25, 1.75, 0.25), (1, 0.75, 0.25, 1, 1), (0.75, 0.25, 1, 0.5, 0.5, 1)]
    melody = tune(rng, chords, dotted, 64, 84, 92, 0.25)
    parts = [Part(48, melody, 100), Part(48, comping(chords, 50, 70, 3, [(0, 0.7), (0.75, 0.25), (1, 0.9)], 76), 92)]
    parts.append(Part(rng.choice((56, 68)), [note for note in melody if int(note.beat / 8) % 2], 92))
    parts += continuo(rng, chords, rng.random() < 0.5)
    if rng.random() < 0.6:
        parts.append(Part(47, bass_line(rng, chords, 36, (0.75, 0.25, 1), 84, 0.4), 90))
    return Score(tempo, parts, ("baroque", "classical", "orchestral")[: rng.randint(1, 3)], 0.01, 0.15)


# ------------------------------------------------------------------------------------------------------ classical

SINGING = [(2, 1, 1), (1.5, 0.5, 1, 1), (3, 1), (1, 1, 1, -1), (0.5, 0.5, 0.5, 0.5, 2), (1, 0.5, 0.5, 1, 1), (2, 2)]


def alberti_sonata(rng):
    """Piano: a singing right hand in four-bar phrases over broken chords in Alberti's order."""
    tempo, key = rng.uniform(84, 152), key_in(rng, "major", "major", "minor")
    made = sections(rng, key, CLASSICAL, beats_of(tempo, 4), rng.choice((2, 4)))
    right, left = [], []
    for number, section in enumerate(made):
        if number % 3 == 2:
            right += figuration(rng, section, 0.25 if tempo < 120 else 0.5, 64, 88, 76, 0.3)
            left += comping(section, 44, 62, 3, [(0, 1), (2, 1)], 64)
        else:
            right += tune(rng, section, SINGING, 67, 88, 84, 0.15)
            order = rng.choice(((0, 2, 1, 2), (0, 1, 2, 1)))
            left += broken_chords(section, 45, 64, 0.5, order, 58, rng.choice((0.5, 1)))
    parts = [Part(rng.choice((0, 0, 1)), right, 110, loose=0.01), Part(0, left, 104, loose=0.01)]
    return Score(tempo, parts, ("classical", "classic", "piano solo")[: rng.randint(1, 3)], 0.025, 0.3)


def nocturne(rng):
    """Romantic piano: wide broken chords under the pedal, a free melody, sometimes in octaves."""
    tempo, key = rng.uniform(52, 92), key_in(rng, "major", "minor")
    chords = flat(sections(rng, key, ROMANTIC, beats_of(tempo, 4), rng.choice((2, 4)), sevenths=True))
    unit = rng.choice((0.5, 1 / 3, 0.25))
    left = broken_chords(
        chords, 34, 66, unit, rng.choice(((0, 2, 4, 3, 2, 1), (0, 1, 2, 3, 4, 3), (0, 3, 2, 3))), 56, 2
    )
    right = tune(rng, chords, [*SINGING, (1.5, 0.25, 0.25, 2)], 65, 91, 84, 0.2, 1.0)
    if rng.random() < 0.4:
        right += transposed(right, -12, -12)
    if rng.random() < 0.3:
        right += comping(chords, 58, 74, 3, [(0, 1), (1, 1)], 56)
    return Score(
        tempo,
        [Part(0, left + right, 112, loose=0.018)],
        ("classical", "piano solo", "slow")[: rng.randint(1, 3)],
        0.07,
        0.4,
    )


def string_quartet(rng):
    """Four strings: a tune that wanders from the first violin to the cello, the others in repeated or held chords."""
    tempo, key = rng.uniform(66, 150), key_in(rng, "major", "minor")
    made = sections(rng, key, CLASSICAL + ROMANTIC[:2], beats_of(tempo, 4), rng.choice((2, 4)))
    parts = [Part(program, [], 100, 0.13, 0.016, True) for program in (40, 40, 41, 42)]
    ranges = [(67, 88), (60, 76), (53, 69), (38, 57)]
    for section in made:
        lead = rng.choice((0, 0, 0, 1, 3))
        rhythm = rng.choice(((0.5,), (1.0,), (2.0,), (4.0,)))
        inner = homophony(rng, section, ranges, rhythm, 66, 0.2)
        for voice, part in enumerate(parts):
            solo = tune(rng, section, SINGING, *ranges[voice], 86) if voice == lead else inner[voice]
            part.notes += [note._replace(length=note.length * 0.8) for note in solo] if rhythm == (0.5,) else solo
    return Score(tempo, parts, ("classical", "strings", "chamber")[: rng.randint(1, 3)], 0.02, 0.3)


def symphony(rng):
    """Orchestra of about 1780: strings with winds that double and answer, horns and drums in the loud places."""
    tempo, key = rng.uniform(72, 168), key_in(rng, "major", "minor")
    made = sections(rng, key, CLASSICAL, beats_of(tempo, 4), rng.choice((2, 4)))
    strings, low, horns, drums = Part(48, [], 104, swell=True), Part(43, [], 100), Part(60, [], 84), Part(47, [], 96)
    winds = {program: Part(program, [], 92) for program in (68, 73, 70, 71)}
    for section in made:
        tutti = rng.random() < 0.55
        melody = tune(rng, section, SINGING if tempo < 130 else RUNNING[:2] + SINGING, 62, 84, 90 if tutti else 74)
        if tutti or rng.random() < 0.5:
            strings.notes += melody + transposed(melody, -12, -8)
        else:
            winds[rng.choice(list(winds))].notes += melody
        strings.notes += comping(
            section, 50, 72, 3, [(k / 2, 0.5) for k in range(8)] if tutti else [(0, 2), (2, 2)], 64, 0.8
        )
        low.notes += bass_line(rng, section, 34, rng.choice(((0.5,), (1.0,), (2.0,))), 80, 0.2, 0.8)
        if tutti:
            for program in (68, 73):
                winds[program].notes += transposed(melody, 12 if program == 73 else 0, -10)
            horns.notes += comping(section, 50, 66, 2, [(0, 2), (2, 1)], 78)
            drums.notes += bass_line(rng, section, 36, (1, 1, 0.5, 0.5, 1), 88, 0.3)
    parts = [part for part in (strings, low, horns, drums, *winds.values()) if part.notes]
    return Score(tempo, parts, ("classical", "orchestral", "orchestra")[: rng.randint(1, 3)], 0.015, 0.35)


def tone_poem(rng):
    """Late romantic orchestra: long swells, brass chords, tremolo, a broad tune in octaves, harp and low strings."""
    tempo, key = rng.uniform(56, 132), key_in(rng, "minor", "major")
    made = sections(rng, key, ROMANTIC, beats_of(tempo, 4), 4, sevenths=True)
    players = {"strings": (48, 108), "brass": (61, 92), "horn": (60, 104), "trumpet": (56, 84), "low": (43, 104)}
    players |= {"wind": (rng.choice((71, 73, 68, 70)), 96), "harp": (46, 90), "drum": (47, 100), "pluck": (45, 96)}
    parts = {name: Part(program, [], volume, 0, 0.02, True) for name, (program, volume) in players.items()}
    for section in made:
        mood = rng.choice(("hush", "song", "storm", "march", "song"))
        loud = {"hush": 56, "song": 76, "storm": 98, "march": 90}[mood]
        melody = tune(rng, section, [(2, 1, 1), (3, 1), (4,), (1.5, 0.5, 2), *SINGING[:2]], 60, 81, loud + 6, 0.2, 1.0)
        chords = comping(section, 48, 74, 4, [(0, 4)], loud - 10)
        lead = {"hush": ("wind",), "song": ("strings",), "storm": ("trumpet", "horn"), "march": ("brass", "wind")}[mood]
        for name in lead:
            parts[name].notes += melody
        parts["strings"].notes += tremolo(chords, 0.25) if mood in ("storm", "hush") and rng.random() < 0.7 else chords
        parts["low"].notes += bass_line(
            rng, section, 31, (0.5,) if mood == "storm" else (1, 1) if mood == "march" else (4,), loud, 0.2
        )
        if mood in ("storm", "march"):
            parts["brass"].notes += comping(section, 46, 67, 3, [(0, 1.5), (2, 1), (3, 0.5)], loud - 8)
            parts["drum"].notes += bass_line(rng, section, 36, (1, 0.5, 0.5, 2), loud, 0.3)
        if mood == "song" and rng.random() < 0.6:
            parts["harp"].notes += broken_chords(section, 45, 81, 0.5, (0, 1, 2, 3, 4, 5), loud - 18, 2)
        if mood == "march":
            parts["pluck"].notes += comping(section, 43, 62, 2, [(k, 0.5) for k in range(4)], loud - 10)
    kept = [part for part in parts.values() if part.notes]
    return Score(tempo, kept, ("classical", "orchestral", "orchestra")[: rng.randint(1, 3)], 0.04, 0.45)


def serenade(rng):
    """A band of winds: clarinets, oboe, horn and bassoon in turn, the rest in light chords."""
    tempo, key = rng.uniform(72, 138), key_in(rng, "major", "minor")
    made = sections(rng, key, CLASSICAL, beats_of(tempo, 4), rng.choice((2, 4)))
    chords = flat(made)
    parts = take_turns(
        rng,
        made,
        lambda section: tune(rng, section, SINGING, 64, 84, 86),
        rng.sample((71, 68, 73, 60, 56), 3),
        volume=104,
    )
    lines = homophony(rng, chords, [(48, 62), (55, 70)], rng.choice(((1.0,), (0.5,), (2.0,))), 64)
    parts += [Part(rng.choice((60, 71)), line, 84) for line in lines]
    parts.append(
        Part(rng.choice((70, 58, 43)), bass_line(rng, chords, 36, rng.choice(((1, 1), (2, 2), (1, -1))), 78), 100)
    )
    return Score(tempo, parts, ("classical", "woodwind")[: rng.randint(1, 2)], 0.02, 0.25)


def impression(rng):
    """About 1900: flute, harp and muted strings, or piano, in ninth chords and whole tones that do not resolve."""
    tempo = rng.uniform(50, 80)
    beats, tonic, chords = beats_of(tempo, 4), rng.randrange(12), []
    for k in range(beats // 4):
        tonic = (tonic + rng.choice((0, 0, 2, 5, 9, 10, 3))) % 12
        mode = rng.choice(("lydian", "dorian", "whole tone", "mixolydian"))
        scale = scale_of(Key(tonic, mode))
        chords.append(
            Chord(k * 4, 4, tuple(dict.fromkeys((tonic, scale[2], scale[4 % len(scale)], scale[-1], scale[1]))), scale)
        )
    melody = tune(
        rng, chords, [*SINGING, (3, 0.5, 0.5), (0.25,) * 4 + (3,), (1 / 3,) * 6 + (2,)], 64, 86, 74, 0.15, 1.0
    )
    waves = broken_chords(chords, 40, 84, rng.choice((0.25, 0.5)), (0, 1, 2, 3, 4, 3, 2, 1), 54, 3)
    if rng.random() < 0.5:
        return Score(
            tempo,
            [Part(0, melody + waves, 112, loose=0.02)],
            ("classical", "piano", "soft")[: rng.randint(1, 3)],
            0.08,
            0.4,
        )
    parts = [Part(rng.choice((73, 68, 71, 60)), melody, 104, 0.06, swell=True), Part(46, waves, 92)]
    parts.append(Part(rng.choice((48, 49)), comping(chords, 46, 76, 4, [(0, 4)], 56, 1.0), 84, swell=True))
    return Score(tempo, parts, ("classical", "orchestral", "quiet")[: rng.randint(1, 3)], 0.06, 0.4)


def guitar_study(rng):
    """Classical guitar alone: the thumb's bass, broken chords, a melody on top."""
    tempo, key = rng.uniform(66, 120), key_in(rng, "minor", "major")
    chords = flat(sections(rng, key, CLASSICAL + ROMANTIC, beats_of(tempo, 4), rng.choice((2, 4))))
    figure = rng.choice(((0, 2, 3, 2), (0, 1, 2, 3, 2, 1), (0, 3, 2, 3)))
    notes = broken_chords(chords, 43, 70, rng.choice((0.5, 0.25, 1 / 3)), figure, 68, 1.5)
    notes += tune(rng, chords, SINGING, 64, 81, 80, 0.1, 1.0)
    return Score(
        tempo,
        [Part(24, notes, 112, loose=0.015)],
        ("classical", "guitar", "spanish", "solo")[: rng.randint(1, 4)],
        0.05,
        0.3,
    )


# ---------------------------------------------------------------------------------------------------------- opera

RANGES = {"bass": (41, 62), "tenor": (50, 70), "alto": (55, 74), "soprano": (62, 84)}
ARIA = [(3, 1), (2, 1, 1), (4,), (1.5, 0.5, 2), (1, 1, 2), (2, -1, 1), (0.5, 0.5, 1, 2), (6 / 4, 1 / 4, 1 / 4, 2)]


def sing(rng, chords, voice, cells, velocity=96):
    """A singer's line in the voice's range, the last note of a section high and long."""
    low, high = RANGES[voice]
    notes = tune(rng, chords, cells, low + 3, high, velocity, 0.18, 1.0)
    if rng.random() < 0.5:
        first, end = span(chords)
        length = min(rng.choice((4, 6, 8)), end - first)
        notes = [note for note in notes if note.beat + note.length <= end - length]
        notes.append(
            Note(
                end - length,
                length * 0.95,
                nearest(chord_at(chords, end - length).tones, high, low, high),
                velocity + 12,
            )
        )
    return notes


def aria(rng):
    """A singer over strings: held or repeated chords, a bass, an instrument that fills the rests."""
    tempo, key = rng.uniform(54, 104), key_in(rng, "major", "minor")
    made = sections(rng, key, CLASSICAL + ROMANTIC, beats_of(tempo, 4), rng.choice((2, 4)))
    chords, voice = flat(made), rng.choice(list(RANGES))
    line = [note for section in made for note in sing(rng, section, voice, ARIA)]
    parts = [Part(53, line, 116, 0.4, 0.03, singer=voice)]
    texture = rng.choice(("held", "repeated", "broken", "pizzicato"))
    if texture == "held":
        parts.append(Part(48, comping(chords, 46, 74, 4, [(0, 4)], 64), 84, swell=True))
    elif texture == "repeated":
        parts.append(Part(48, comping(chords, 48, 70, 3, [(k / 2, 0.5) for k in range(8)], 60, 0.7), 84, swell=True))
    elif texture == "broken":
        parts.append(Part(rng.choice((48, 46, 0)), broken_chords(chords, 45, 72, 0.5, (0, 1, 2, 3, 2, 1), 62, 1), 88))
    else:
        parts.append(Part(45, comping(chords, 45, 70, 3, [(1, 0.5), (2, 0.5), (3, 0.5)], 70), 96))
    parts.append(
        Part(rng.choice((42, 43, 45)), bass_line(rng, chords, 34, rng.choice(((2, 2), (4,), (1, -1))), 72), 90)
    )
    if rng.random() < 0.6:
        parts.append(Part(rng.choice((73, 71, 68, 40)), tune(rng, chords, SINGING, 64, 86, 68), 76, 0.08))
    return Score(tempo, parts, ("opera", "vocal", "classical", "singing")[: rng.randint(2, 4)], 0.05, 0.3)


def recitative(rng):
    """Speech in song: quick repeated notes in free rhythm, chords only where the harmony changes; then an arioso."""
    tempo, key = rng.uniform(66, 100), key_in(rng, "major", "minor")
    made = sections(rng, key, CLASSICAL + BAROQUE, beats_of(tempo, 4), 4)
    voice, accompaniment = rng.choice(list(RANGES)), rng.choice((6, 48, 48, 0))
    low, high = RANGES[voice]
    line, chords_played = [], []
    for number, section in enumerate(made):
        if number % 3 == 2:
            line += sing(rng, section, voice, ARIA)
            chords_played += comping(section, 48, 70, 4, [(k, 1) for k in range(4)], 62)
            continue
        cells = [
            (0.25, 0.25, 0.5, 0.5, 1, -1.5),
            (0.5, 0.25, 0.25, 0.25, 0.25, 1, -1.5),
            (-0.5, 0.25, 0.25, 0.5, 0.5, 1.5, -0.5),
        ]
        line += tune(rng, section, cells, low + 4, high - 3, 88, 0.08, 1.0)
        chords_played += comping(section, 46, 70, 4, rng.choice(([(0, 1)], [(0, 4)], [(0, 0.5), (0.5, 0.5)])), 76)
    parts = [Part(53, line, 116, 0.3, 0.05, singer=voice), Part(accompaniment, chords_played, 92)]
    parts.append(Part(42, bass_line(rng, flat(made), 36, (4,), 70), 84))
    return Score(tempo, parts, ("opera", "vocal", "classical")[: rng.randint(1, 3)], 0.09, 0.25)


def scene(rng):
    """A climax: a high voice against the whole orchestra, strings tremolo, brass, drums."""
    tempo, key = rng.uniform(60, 120), key_in(rng, "minor", "major")
    made = sections(rng, key, ROMANTIC, beats_of(tempo, 4), 4, sevenths=True)
    chords, voice = flat(made), rng.choice(("tenor", "soprano", "tenor", "bass"))
    line = [note for k, section in enumerate(made) if k % 4 != 3 for note in sing(rng, section, voice, ARIA, 104)]
    parts = [Part(53, line, 120, 0.45, 0.03, singer=voice)]
    parts.append(Part(48, tremolo(comping(chords, 50, 76, 4, [(0, 4)], 76), 0.25), 92, swell=True))
    parts.append(Part(48, tune(rng, chords, SINGING, 60, 84, 80), 84, swell=True))
    parts.append(Part(rng.choice((60, 61, 57)), comping(chords, 44, 65, 3, [(0, 1.5), (2, 2)], 80), 88, swell=True))
    parts.append(Part(43, bass_line(rng, chords, 31, rng.choice(((4,), (1, 1), (0.5,))), 86), 100))
    parts.append(Part(47, bass_line(rng, chords, 36, (-2, 0.5, 0.5, 1), 90), 92))
    if rng.random() < 0.4:
        parts.append(Part(52, comping(chords, 50, 74, 4, [(0, 4)], 76), 90, singer="choir", unison=4))
    return Score(tempo, parts, ("opera", "vocal", "classical", "orchestral")[: rng.randint(1, 4)], 0.05, 0.35)


def opera_chorus(rng):
    """A crowd sings in four parts, the orchestra doubles it and beats time."""
    tempo, key = rng.uniform(72, 138), key_in(rng, "major", "minor")
    made = sections(rng, key, CLASSICAL + ROMANTIC, beats_of(tempo, 4), rng.choice((2, 4)))
    chords = flat(made)
    lines = homophony(rng, chords, list(RANGES.values()), rng.choice(((1.0,), (1.5, 0.5), (2.0, 1.0, 1.0))), 92, 0.15)
    parts = [Part(52, line, 104, singer=name, unison=4, loose=0.03) for name, line in zip(RANGES, lines, strict=True)]
    parts.append(Part(48, comping(chords, 48, 76, 4, [(k / 2, 0.5) for k in range(8)], 70, 0.8), 84))
    parts.append(Part(61, comping(chords, 46, 67, 3, [(0, 1), (2, 1)], 76), 80))
    parts.append(Part(43, bass_line(rng, chords, 34, (1, 1), 84), 96))
    return Score(tempo, parts, ("opera", "choir", "classical")[: rng.randint(1, 3)], 0.02, 0.3)


def duet(rng):
    """Two singers answer each other, then go in thirds; strings, a wind, sometimes a dance rhythm."""
    tempo, key = rng.uniform(63, 126), key_in(rng, "major", "minor")
    made = sections(rng, key, CLASSICAL, beats_of(tempo, 4), 2)
    chords, (low, high) = flat(made), rng.choice((("tenor", "soprano"), ("alto", "soprano"), ("bass", "tenor")))
    first, second = Part(53, [], 112, 0.35, 0.03, singer=low), Part(53, [], 112, 0.35, 0.03, singer=high)
    for number, section in enumerate(made):
        line = sing(rng, section, high, ARIA + RUNNING[:2])
        if number % 3 != 0:
            second.notes += line
        if number % 3 == 2:
            third = [walk(note.pitch, -2, chord_at(section, note.beat).scale, 36, 96) for note in line]
            first.notes += [note._replace(pitch=pitch) for note, pitch in zip(line, third, strict=True)]
        elif number % 3 == 0:
            first.notes += sing(rng, section, low, ARIA)
    strings = comping(chords, 48, 72, 3, rng.choice(([(0, 2)], [(0.5, 0.5), (1.5, 0.5)], [(0, 0.5), (1, 0.5)])), 64)
    bass = bass_line(rng, chords, 34, rng.choice(((2,), (1, -1))), 76)
    parts = [part for part in (first, second) if part.notes] + [Part(48, strings, 88, swell=True), Part(43, bass, 92)]
    return Score(tempo, parts, ("opera", "vocal", "classical")[: rng.randint(1, 3)], 0.04, 0.25)


# ----------------------------------------------------------------------------------------------------------- jazz

# Progressions as (semitones above the tonic, quality), a bar or half a bar each.
CHANGES = [
    [(2, "m7"), (7, "7"), (0, "maj7"), (0, "maj7"), (2, "m7"), (7, "7"), (0, "maj7"), (9, "7")],
    [(2, "m7"), (7, "7"), (0, "maj7"), (5, "maj7"), (11, "m7b5"), (4, "7"), (9, "m7"), (9, "m7")],
    [(0, "maj7"), (9, "7"), (2, "m7"), (7, "7"), (4, "m7"), (9, "7"), (2, "m7"), (7, "7")],
    [
        (0, "7"),
        (5, "7"),
        (0, "7"),
        (0, "7"),
        (5, "7"),
        (5, "7"),
        (0, "7"),
        (9, "7"),
        (2, "m7"),
        (7, "7"),
        (0, "7"),
        (7, "7"),
    ],
    [(0, "m7"), (0, "m7"), (0, "m7"), (0, "m7"), (1, "m7"), (1, "m7"), (0, "m7"), (0, "m7")],
    [(0, "maj7"), (0, "maj7"), (2, "7"), (2, "7"), (2, "m7"), (7, "7"), (0, "maj7"), (1, "maj7")],
    [(0, "m7"), (5, "m7"), (0, "m7"), (0, "m7"), (8, "7"), (7, "7"), (0, "m7"), (7, "7")],
]
JAZZ_LINE = [(0.5,) * 8, (1, 0.5, 0.5, 1, -1), (-0.5, 0.5, 0.5, 0.5, 1, -1), (1.5, 0.5, 2), (0.5, 0.5, 1, -0.5, 0.5, 1),
             (1 / 3, 1 / 3, 1 / 3, 1, 0.5, 0.5, -1), (-1, 0.5, 0.5, 0.5, 0.5, 1), (0.5, 1, 1, 0.5, -1)]  # fmt: skip
COMP = [
    [(0, 1.4), (2.5, 0.4)],
    [(1.5, 0.4), (3, 0.9)],
    [(0.5, 0.4), (2, 1.4)],
    [(0, 0.4), (1.5, 1.8)],
    [(1, 0.4), (3, 0.4)],
]


def changes(rng, beats, length):
    """Choruses over one set of changes, in sections of its length."""
    tonic, progression = rng.randrange(12), rng.choice(CHANGES)
    steps = [jazz_chord(tonic, *step, 0, length) for step in progression]
    made, beat = [], 0.0
    while beat < beats:
        section = []
        for step in steps:
            if beat < beats:
                section.append(step._replace(beat=beat))
                beat += length
        made.append(section)
    return made


def shell(chord):
    """Third, seventh, ninth and fifth: the pianist leaves the root to the bass."""
    ninth = (chord.tones[0] + 2) % 12
    return chord._replace(tones=(chord.tones[1], chord.tones[3], ninth, chord.tones[2]))


def comped(rng, chords, low=52, high=72, voices=3, velocity=66):
    """Sevenths and ninths struck off the beat, the rhythm new in each bar."""
    notes = []
    for chord in chords:
        notes += comping([shell(chord)], low, high, voices, rng.choice(COMP), velocity + rng.uniform(-8, 8), 0.85)
    return notes


def swing_kit(rng, beats, brushes=False, start=0.0):
    """The ride cymbal's ding, ding-a-ding, hi-hat closed on two and four, a soft bass drum, a snare that comments."""
    ride, soft = (RIDE, 0) if not brushes else (BRUSH, -16)
    bar = [(0, ride, 84), (1, ride, 92), (1.5, ride, 70), (2, ride, 84), (3, ride, 92), (3.5, ride, 70)]
    bar = [(offset, drum, velocity + soft) for offset, drum, velocity in bar]
    bar += [(1, PEDAL_HAT, 88), (3, PEDAL_HAT, 88)] + [(k, 35, 42) for k in range(4)]
    notes = drum_bars(rng, beats, 4, bar, start=start)
    for k in range(int(start), int(beats)):
        if rng.random() < 0.22:
            notes.append(Note(k + rng.choice((0, 0.5, 0.5)), 0.2, rng.choice((SNARE, SNARE, 36)), rng.randint(40, 78)))
    return notes


def combo(rng):
    """Quartet: a horn improvises over walking bass, ride cymbal and a piano or guitar that comps."""
    tempo, ratio = rng.uniform(108, 232), rng.uniform(0.6, 0.68)
    beats = beats_of(tempo, 4)
    made = changes(rng, beats, 4)
    chords = flat(made)
    leads = rng.sample((65, 66, 64, 67, 56, 59, 57, 11, 71, 26, 0), 2)
    lead_parts = take_turns(
        rng, made, lambda section: swung(tune(rng, section, JAZZ_LINE, 55, 80, 92, 0.2), ratio), leads, volume=108
    )
    parts = [*lead_parts, Part(32, walking_bass(rng, chords, 28, 48), 112, loose=0.01)]
    parts.append(Part(rng.choice((0, 0, 26, 16, 4)), swung(comped(rng, chords), ratio), 84))
    parts.append(
        Part(DRUMS, swung(swing_kit(rng, beats, rng.random() < 0.25), ratio), rng.randint(70, 96), loose=0.006)
    )
    return Score(tempo, parts, ("jazz", "jazzy", "classic")[: rng.choice((1, 1, 2, 3))], 0.004, 0.2)


def piano_trio(rng):
    """Piano, bass and drums (or vibraphone, guitar, organ in the piano's place): single lines and block chords."""
    tempo, ratio, lead = rng.uniform(92, 210), rng.uniform(0.6, 0.68), rng.choice((0, 0, 0, 11, 26, 16, 17))
    beats = beats_of(tempo, 4)
    made = changes(rng, beats, 4)
    chords, solo = flat(made), []
    for section in made:
        line = tune(rng, section, JAZZ_LINE, 60, 86, 86, 0.18)
        if rng.random() < 0.3:
            line += [
                n._replace(pitch=walk(n.pitch, -2, chord_at(section, n.beat).scale, 40, 90)) for n in line
            ] + transposed(line, -12)
        solo += line + comped(rng, section, 48, 66, 3, 60)
    parts = [Part(lead, swung(solo, ratio), 108), Part(32, walking_bass(rng, chords, 28, 48), 112)]
    if rng.random() < 0.85:
        parts.append(
            Part(DRUMS, swung(swing_kit(rng, beats, rng.random() < 0.5), ratio), rng.randint(64, 90), loose=0.006)
        )
    return Score(tempo, parts, ("jazz", "jazzy")[: rng.choice((1, 1, 2))], 0.006, 0.25)


def big_band(rng):
    """Saxes in block harmony, brass that punches, a drummer who drives."""
    tempo, ratio = rng.uniform(112, 220), rng.uniform(0.62, 0.67)
    beats = beats_of(tempo, 4)
    made = changes(rng, beats, 4)
    chords, saxes, brass, trumpets = flat(made), Part(65, [], 100), Part(61, [], 100), Part(56, [], 96)
    for number, section in enumerate(made):
        line = tune(rng, section, JAZZ_LINE, 58, 77, 92, 0.15)
        for drop in (0, -2, -4, -6) if number % 2 == 0 else (0,):
            part = saxes if number % 2 == 0 else trumpets
            part.notes += [n._replace(pitch=walk(n.pitch, drop, chord_at(section, n.beat).scale, 36, 90)) for n in line]
        hits = rng.choice(([(0, 0.4), (1.5, 0.4)], [(2.5, 0.4), (3.5, 0.4)], [(1, 0.4), (2.5, 1.4)], [(0, 3.5)]))
        brass.notes += comping([shell(chord) for chord in section], 55, 79, 4, hits, 94, 0.9)
    parts = [
        Part(part.program, swung(part.notes, ratio), part.volume) for part in (saxes, brass, trumpets) if part.notes
    ]
    parts += [
        Part(32, walking_bass(rng, chords, 28, 48), 110),
        Part(rng.choice((0, 26)), swung(comped(rng, chords), ratio), 70),
    ]
    parts.append(Part(DRUMS, swung(swing_kit(rng, beats), ratio), 96, loose=0.006))
    return Score(tempo, parts, ("jazz", "orchestral", "jazzy")[: rng.choice((1, 1, 2, 3))], 0.004, 0.25)


def bossa(rng):
    """Straight eighths: rim click, shaker, a nylon guitar's syncopation, bass on one and three, flute or sax."""
    tempo = rng.uniform(108, 156)
    beats = beats_of(tempo, 4)
    made = changes(rng, beats, 4)
    chords = flat(made)
    guitar = comping(
        [shell(chord) for chord in chords],
        50,
        69,
        3,
        rng.choice(([(0, 1), (1.5, 1), (3, 0.5)], [(0.5, 1), (2, 1), (3.5, 0.5)])),
        70,
    )
    parts = take_turns(
        rng,
        made,
        lambda section: tune(rng, section, JAZZ_LINE + SINGING, 60, 82, 84),
        rng.sample((65, 73, 0, 11, 66, 57), 2),
    )
    parts += [
        Part(rng.choice((24, 24, 26, 0)), guitar, 96),
        Part(32, bass_line(rng, chords, 28, (1.5, 0.5), 84, 0.6), 108),
    ]
    bar = [(k / 2, SHAKER, 60 - 14 * (k % 2)) for k in range(8)] + [(0, KICK, 66), (2, KICK, 66)]
    bar += [(offset, STICK, 76) for offset in (0, 1.5, 3)]
    parts.append(Part(DRUMS, drum_bars(rng, beats, 4, bar), 86, loose=0.006))
    return Score(tempo, parts, ("jazz", "latin", "jazzy")[: rng.randint(1, 3)], 0.004, 0.2)


def solo_jazz_piano(rng):
    """Stride or ballad: bass note and chord in the left hand, swung runs in the right."""
    tempo, ratio, ballad = rng.uniform(66, 180), rng.uniform(0.6, 0.67), rng.random() < 0.4
    tempo = tempo * 0.6 if ballad and tempo > 110 else tempo
    made = changes(rng, beats_of(tempo, 4), 4)
    chords, notes = flat(made), []
    for section in made:
        notes += tune(rng, section, JAZZ_LINE, 62, 88, 86, 0.2)
        if rng.random() < 0.4:
            notes += comping([shell(chord) for chord in section], 60, 76, 3, rng.choice(COMP), 66)
    if ballad:
        notes += comping(chords, 40, 62, 4, [(0, 2), (2, 2)], 60, 1.0)
    else:
        notes += bass_line(rng, chords, 31, (1, -1), 80, 0.6)
        notes += comping([shell(chord) for chord in chords], 50, 66, 3, [(1, 0.6), (3, 0.6)], 66)
    tags = ("jazz", "piano solo", "jazzy")[: rng.randint(1, 3)]
    return Score(
        tempo, [Part(rng.choice((0, 0, 1, 3)), swung(notes, ratio), 112)], tags, 0.05 if ballad else 0.012, 0.3
    )


def ballad(rng):
    """Slow: a breathy sax, trumpet or voice, brushes, bass in two, rich chords."""
    tempo, ratio = rng.uniform(54, 84), 0.64
    beats = beats_of(tempo, 4)
    made = changes(rng, beats, 4)
    chords, lead = flat(made), rng.choice((66, 65, 59, 56, 0, 53))
    line = swung(tune(rng, chords, [*SINGING, *JAZZ_LINE[1:5]], 53 if lead != 53 else 57, 76, 86, 0.2, 1.0), ratio)
    parts = [
        Part(
            lead,
            line,
            110,
            0.15 if lead != 0 else 0,
            0.03,
            lead != 0,
            singer=rng.choice(("alto", "tenor")) if lead == 53 else "",
        )
    ]
    parts += [
        Part(rng.choice((0, 26, 4)), comping([shell(c) for c in chords], 50, 72, 4, [(0, 2), (2, 2)], 60, 1.0), 88)
    ]
    parts.append(Part(32, bass_line(rng, chords, 28, (2, 1.5, 0.5), 80, 0.4, 1.0), 108))
    parts.append(Part(DRUMS, swung(swing_kit(rng, beats, True), ratio), 74))
    return Score(tempo, parts, ("jazz", "slow", "jazzy")[: rng.randint(1, 3)], 0.015, 0.25)


# ----------------------------------------------------------------------------------------------------------- rock

RIFFS = [
    (0.5,) * 8,
    (1, 0.5, 0.5, 1, 1),
    (0.75, 0.75, 0.5, 1, 1),
    (1.5, 0.5, 1, 1),
    (0.5, 0.5, -0.5, 0.5, 0.5, 0.5, 1),
    (2, 1, 1),
]


def rock_kit(rng, beats, hat, busy):
    """Backbeat: bass drum on one and three and more, snare on two and four, eighths on a cymbal, fills on the toms."""
    bar = [(k / 2, hat, 92 - 18 * (k % 2)) for k in range(8)] if hat != CRASH else [(k, hat, 90) for k in range(4)]
    bar += [(1, SNARE, 118), (3, SNARE, 118), (0, KICK, 115)]
    bar += [(offset, KICK, 104) for offset in rng.choice(((2,), (2, 2.5), (1.5, 2.5), (0.5, 2, 3.5), (2.5, 3.5)))]
    if busy:
        bar += [(k / 4, KICK, 96) for k in range(16) if k % 4]
    return drum_bars(rng, beats, 4, bar, (SNARE, SNARE, HIGH_TOM, MIDDLE_TOM, LOW_TOM), rng.choice((4, 8)))


def power_chords(chords, low, rhythm, velocity=100, detach=0.9):
    """Root, fifth and octave."""
    notes = []
    for chord in chords:
        root = nearest(chord.tones[:1], low + 5, low, low + 11)
        beat, index, end = chord.beat, 0, chord.beat + chord.length
        while beat < end - 1e-6:
            length = min(abs(rhythm[index % len(rhythm)]), end - beat)
            if rhythm[index % len(rhythm)] > 0:
                notes += [Note(beat, length * detach, root + interval, velocity) for interval in (0, 7, 12)]
            beat, index = beat + length, index + 1
    return notes


def rock_vocal(rng, made, velocity=96):
    """A sung hook in the verses, nothing in every fourth section; in the key's pentatonic scale."""
    voice = rng.choice(("tenor", "tenor", "alto"))
    cells = [(0.5, 0.5, 1, 1, -1), (1, 0.5, 0.5, 1.5, -0.5), (-1, 0.5, 0.5, 1, 1), (2, 1, -1)]
    low = {"tenor": 54, "alto": 60}[voice]
    line = [
        note
        for k, section in enumerate(made)
        if k % 4 != 3
        for note in tune(rng, section, cells, low, low + 13, velocity, 0.08, 0.95)
    ]
    return Part(54, line, 108, 0.1, 0.02, singer=voice)


def solo_guitar(rng, section, tonic, program=30):
    """A pentatonic solo."""
    scale = scale_of(Key(tonic, rng.choice(("pentatonic", "blues"))))
    chords = [
        chord._replace(scale=scale, tones=tuple(sorted({tonic, (tonic + 7) % 12, scale[1]}))) for chord in section
    ]
    return tune(rng, chords, [*RIFFS, (0.25,) * 8 + (1, 1), (1.5, 0.5, 2)], 62, 86, 104, 0.12)


def rock_base(rng, tempo, key, templates, length=4):
    """Sections, flat chords and beats of a rock song."""
    beats = beats_of(tempo, 4)
    made = sections(
        rng, key, [template * 2 if len(template) < 6 else template for template in templates], beats, length
    )
    return made, flat(made), beats


def hard_rock(rng):
    """Two distorted guitars in power chords, bass in eighths, a hard backbeat, a singer or a solo."""
    tempo, key = rng.uniform(96, 168), key_in(rng, "minor", "mixolydian", "major", "dorian")
    made, chords, beats = rock_base(rng, tempo, key, ROCK, rng.choice((2, 4)))
    rhythm = rng.choice(((0.5,), (1, 0.5, 0.5), (1.5, 0.5), (0.75, 0.75, 0.5), (2,), (0.5, -0.5, 0.5, 0.5)))
    parts = [Part(rng.choice((29, 30)), power_chords(chords, 40, rhythm, 100), rng.randint(64, 88))]
    parts.append(
        Part(rng.choice((29, 30, 27)), power_chords(chords, 45, rng.choice(((4,), rhythm)), 88), 64, loose=0.018)
    )
    parts.append(Part(rng.choice((33, 34)), bass_line(rng, chords, 28, rng.choice(((0.5,), rhythm)), 96, 0.1), 108))
    parts.append(
        Part(DRUMS, rock_kit(rng, beats, rng.choice((CLOSED_HAT, OPEN_HAT, RIDE, CRASH)), False), 127, loose=0.006)
    )
    if rng.random() < 0.65:
        parts.append(rock_vocal(rng, made))
    solo = [
        note
        for k, section in enumerate(made)
        if k % 4 == 3 or rng.random() < 0.2
        for note in solo_guitar(rng, section, key.tonic)
    ]
    if solo:
        parts.append(Part(rng.choice((29, 30)), solo, 100, 0.2))
    return Score(tempo, parts, ("rock", "hard rock", "loud")[: rng.randint(1, 3)], 0.003, 0.12)


def rock_and_roll(rng):
    """Twelve bars of blues: the guitar's shuffle between fifth and sixth, piano or sax, walking bass."""
    tempo, key, ratio = rng.uniform(132, 196), key_in(rng, "mixolydian"), rng.choice((0.5, 0.5, 0.62, 0.66))
    made, chords, beats = rock_base(rng, tempo, key, BLUES)
    boogie = []
    for chord in chords:
        root = nearest(chord.tones[:1], 45, 40, 51)
        for k in range(8):
            boogie += [
                Note(chord.beat + k / 2, 0.45, root, 92),
                Note(chord.beat + k / 2, 0.45, root + (7, 7, 9, 9)[k % 4], 92),
            ]
    parts = [Part(rng.choice((27, 29, 26)), swung(boogie, ratio), 96)]
    arpeggio = [
        Note(c.beat + k, 0.9, nearest(c.tones[:1], 33, 28, 39) + (0, 4, 7, 9)[k], 94)
        for c in chords
        for k in range(int(c.length))
    ]
    parts.append(Part(rng.choice((33, 32)), arpeggio, 108))
    parts.append(
        Part(DRUMS, swung(rock_kit(rng, beats, rng.choice((CLOSED_HAT, RIDE)), False), ratio), 120, loose=0.008)
    )
    lead = rng.choice((0, 66, 27, 29, 0))
    line = [note for section in made for note in solo_guitar(rng, section, key.tonic)]
    parts.append(Part(lead, swung(line, ratio), 92))
    if rng.random() < 0.6:
        parts.append(Part(0, swung(comping(chords, 60, 79, 3, [(k / 2, 0.4) for k in range(8)], 80), ratio), 76))
    if rng.random() < 0.5:
        parts.append(rock_vocal(rng, made))
    return Score(tempo, parts, ("rock", "blues", "pop")[: rng.randint(1, 3)], 0.004, 0.12)


def soft_rock(rng):
    """A ballad: strummed acoustic or clean guitar, piano or organ, a light backbeat, a voice; louder in the chorus."""
    tempo, key = rng.uniform(66, 116), key_in(rng, "major", "minor", "mixolydian")
    made, chords, beats = rock_base(rng, tempo, key, ROCK)
    strum = [(0, 0.9), (1, 0.9), (1.5, 0.4), (2.5, 0.4), (3, 0.9), (3.5, 0.4)]
    parts = [Part(rng.choice((25, 25, 27)), comping(chords, 47, 71, 4, strum, 74), 92)]
    loud = [chord for k, section in enumerate(made) if k % 2 for chord in section]
    parts.append(Part(29, power_chords(loud, 40, (4,), 84) if loud else [], 76))
    parts.append(Part(rng.choice((0, 16, 18, 48, 4)), comping(chords, 52, 74, 3, [(0, 4)], 66), 76))
    parts.append(
        Part(
            rng.choice((33, 33, 34)), bass_line(rng, chords, 28, rng.choice(((1.5, 0.5), (1, 1), (0.5,))), 88, 0.2), 104
        )
    )
    parts.append(Part(DRUMS, rock_kit(rng, beats, rng.choice((CLOSED_HAT, RIDE)), False), 112, loose=0.008))
    parts.append(rock_vocal(rng, made, 90))
    parts = [part for part in parts if part.notes]
    return Score(tempo, parts, ("rock", "soft rock", "pop")[: rng.randint(1, 3)], 0.005, 0.2)


def metal(rng):
    """Fast: palm-muted sixteenths, double bass drum, minor seconds in the riffs; or punk's three chords."""
    tempo, key = rng.uniform(132, 200), key_in(rng, "phrygian", "minor", "locrian", "major")
    made, chords, beats = rock_base(
        rng, tempo, key, [(0, 0, 1, 0), (0, 5, 1, 0), (0, 6, 5, 4), (0, 3, 4, 3), (0, 0, 2, 1)]
    )
    chug = []
    for chord in chords:
        root = nearest(chord.tones[:1], 40, 35, 46)
        chug += [
            Note(chord.beat + k / 4, 0.14, root + extra, 100 - 14 * (k % 2))
            for k in range(int(chord.length * 4))
            for extra in (0, 7)
        ]
    steady = power_chords(chords, 38, (0.5,), 104)
    wall = [note for note in chug if int(note.beat / 16) % 2 == 0] + [
        note for note in steady if int(note.beat / 16) % 2
    ]
    parts = [
        Part(30, wall, 80),
        Part(29, wall, 72, loose=0.02),
        Part(34, bass_line(rng, chords, 26, (0.5,), 100, 0), 104),
    ]
    parts.append(
        Part(DRUMS, rock_kit(rng, beats, rng.choice((CRASH, RIDE, CLOSED_HAT)), key.mode != "major"), 127, loose=0.005)
    )
    if rng.random() < 0.5:
        parts.append(rock_vocal(rng, made, 110))
    else:
        parts.append(
            Part(30, [note for section in made[1::2] for note in solo_guitar(rng, section, key.tonic)] or wall, 96, 0.2)
        )
    return Score(tempo, parts, ("rock", "metal", "heavy metal")[: rng.randint(1, 3)], 0.002, 0.08)


def riff_rock(rng):
    """A one-bar riff in octaves by guitar and bass, organ or piano stabs, a loose heavy beat."""
    tempo, key = rng.uniform(84, 138), key_in(rng, "dorian", "minor", "mixolydian")
    made, chords, beats = rock_base(rng, tempo, key, [(0, 0, 0, 0), (0, 0, 3, 0), (0, 6, 3, 0)])
    scale = scale_of(Key(key.tonic, "blues"))
    low = nearest((key.tonic,), 42, 40, 51)
    beat, riff = 0.0, []
    for length in rng.choice(RIFFS):
        if length > 0:
            riff.append(Note(beat, length * 0.9, walk(low, rng.choice((0, 0, 1, 2, 3, -1)), scale, 36, 64), 100))
        beat += abs(length)
    played = [note._replace(beat=note.beat + 4 * k) for k in range(beats // 4) for note in riff if k % 8 != 7]
    guitar = played + transposed(played, 7) + transposed(played, 12)
    parts = [Part(rng.choice((29, 30, 27)), guitar, 80), Part(33, transposed(played, -12), 108)]
    parts.append(
        Part(
            rng.choice((16, 18, 0, 29)),
            comping(chords, 55, 72, 3, rng.choice(([(0, 0.5), (1.5, 0.5)], [(0, 4)])), 80),
            76,
        )
    )
    parts.append(Part(DRUMS, rock_kit(rng, beats, rng.choice((CLOSED_HAT, OPEN_HAT, RIDE)), False), 127, loose=0.01))
    if rng.random() < 0.7:
        parts.append(rock_vocal(rng, made))
    else:
        parts.append(
            Part(
                rng.choice((29, 30, 18)),
                [n for section in made for n in solo_guitar(rng, section, key.tonic)],
                96,
                0.15,
            )
        )
    return Score(tempo, parts, ("rock", "blues", "funk")[: rng.randint(1, 3)], 0.005, 0.15)


# ------------------------------------------------------------------------------------------- none of the six genres


def ambient(rng):
    """Pads that change slowly, a bell now and then."""
    tempo, key = rng.uniform(50, 70), key_in(rng, "major", "dorian", "lydian")
    beats = beats_of(tempo, 4)
    chords = flat(sections(rng, key, ROMANTIC, beats, 8, sevenths=True))
    parts = [Part(rng.choice((88, 89, 91, 94, 95)), comping(chords, 43, 72, 4, [(0, 8)], 70, 1.0), 100, swell=True)]
    parts.append(
        Part(rng.choice((14, 11, 92, 98, 4)), tune(rng, chords, [(2, -2), (-1, 1, 2), (3, -1)], 67, 91, 60), 84)
    )
    parts.append(Part(rng.choice((89, 38)), bass_line(rng, chords, 28, (8,), 64), 90))
    return Score(tempo, parts, ("ambient", "electronic", "new age", "slow")[: rng.randint(2, 4)], 0.0, 0.2)


def techno(rng):
    """Four on the floor, off-beat hi-hat, a synthesiser sequence that opens up."""
    tempo, key = rng.uniform(118, 146), key_in(rng, "minor", "phrygian")
    beats = beats_of(tempo, 4)
    chords = flat(sections(rng, key, [(0, 0, 0, 0), (0, 5, 0, 6)], beats, 8))
    bar = (
        [(k, KICK, 120) for k in range(4)]
        + [(k + 0.5, OPEN_HAT, 84) for k in range(4)]
        + [(1, CLAP, 100), (3, CLAP, 100)]
    )
    parts = [Part(DRUMS, drum_bars(rng, beats, 4, bar), 110, loose=0.0)]
    parts.append(
        Part(rng.choice((38, 39, 81)), broken_chords(chords, 36, 60, 0.25, (0, 1, 0, 2), 88, 0.2), 100, loose=0.0)
    )
    parts.append(
        Part(
            rng.choice((90, 81, 80)), comping(chords, 55, 76, 3, [(k + 0.5, 0.4) for k in range(8)], 76), 88, loose=0.0
        )
    )
    return Score(tempo, parts, ("techno", "electronic", "dance", "beat")[: rng.randint(2, 4)], 0.0, 0.1)


def folk_song(rng):
    """Picked guitar, a fiddle, flute or accordion tune, perhaps a voice."""
    tempo, key = rng.uniform(88, 138), key_in(rng, "major", "dorian", "mixolydian")
    made = sections(rng, key, ROCK + CLASSICAL, beats_of(tempo, 4), 4)
    chords = flat(made)
    parts = [Part(25, broken_chords(chords, 43, 68, 0.5, (0, 2, 1, 3), 72, 1), 100)]
    lead, voice = rng.choice(((110, ""), (73, ""), (21, ""), (75, ""), (53, "alto"), (53, "tenor")))
    parts.append(
        Part(
            lead,
            tune(rng, chords, SINGING + RUNNING[:2], 60 if voice != "tenor" else 50, 79 if not voice else 70, 86),
            100,
            singer=voice,
        )
    )
    if rng.random() < 0.5:
        parts.append(Part(32, bass_line(rng, chords, 28, (2,), 78, 0.5), 96))
    return Score(tempo, parts, ("folk", "acoustic", "irish", "celtic")[: rng.randint(1, 4)], 0.012, 0.15)


def country(rng):
    """Boom-chick bass and guitar, banjo rolls, fiddle or steel guitar."""
    tempo, key = rng.uniform(96, 150), key_in(rng, "major")
    beats = beats_of(tempo, 4)
    chords = flat(sections(rng, key, CLASSICAL, beats, 4))
    parts = [
        Part(32, bass_line(rng, chords, 28, (2,), 90, 0.7), 108),
        Part(25, comping(chords, 50, 72, 4, [(1, 0.8), (3, 0.8)], 84), 96),
    ]
    parts.append(Part(105, broken_chords(chords, 50, 72, 0.5, (0, 2, 1, 3, 0, 2, 3, 1), 80), 88))
    parts.append(Part(rng.choice((110, 26, 22)), tune(rng, chords, SINGING + RUNNING[:2], 62, 82, 88), 96, 0.1))
    bar = [(1, SNARE, 84), (3, SNARE, 84), (0, KICK, 80), (2, KICK, 80)] + [(k / 2, CLOSED_HAT, 60) for k in range(8)]
    parts.append(Part(DRUMS, drum_bars(rng, beats, 4, bar), 80))
    return Score(tempo, parts, ("country", "acoustic")[: rng.randint(1, 2)], 0.006, 0.12)


def raga(rng):
    """A sitar over a drone and hand drums."""
    tempo, key = rng.uniform(80, 130), Key(rng.randrange(12), "raga")
    beats = beats_of(tempo, 4)
    chords = [Chord(k * 4, 4, (key.tonic, (key.tonic + 7) % 12), scale_of(key)) for k in range(beats // 4)]
    parts = [Part(104, tune(rng, chords, RUNNING + SINGING, 55, 79, 92, 0.05), 110, 0.2)]
    parts.append(Part(rng.choice((104, 20)), drone(key, beats, 43, 4, True), 80))
    bar = [
        (0, LOW_BONGO, 90),
        (0.75, HIGH_BONGO, 76),
        (1.5, HIGH_BONGO, 80),
        (2, LOW_BONGO, 84),
        (3, HIGH_BONGO, 86),
        (3.5, HIGH_BONGO, 70),
    ]
    parts.append(Part(DRUMS, drum_bars(rng, beats, 4, bar), 92))
    return Score(tempo, parts, ("indian", "eastern", "drone")[: rng.randint(1, 3)], 0.01, 0.15)


STYLES = {
    "classical": (
        *(symphony, alberti_sonata, tone_poem, string_quartet, nocturne),
        *(symphony, serenade, tone_poem, impression, guitar_study),
    ),
    "rock": (hard_rock, rock_and_roll, soft_rock, metal, riff_rock),
    "baroque": (concerto, trio_sonata, fugue, overture, concerto, prelude, cantata, trio_sonata),
    "jazz": (combo, piano_trio, big_band, bossa, solo_jazz_piano, ballad),
    "medieval": (chant, organum, chant, troubadour, estampie),
    "opera": (aria, recitative, scene, opera_chorus, duet),
    "other": (ambient, techno, folk_song, country, raga),
}
