"""The styles that the demo's pieces are composed in: tables for composer.py.

Instruments are shared between the genres that share them in reality, so that no instrument alone gives a genre away.
"""

from functools import partial

from music_featurization.demo.composer import (
    HOLLOW,
    NINTH,
    Layer,
    Style,
    arpeggio,
    bass,
    block_chord,
    melody,
    runs,
    walking_bass,
)

# Rhythms: lengths in beats; a negative length is a rest.
HELD, HALVES, BEATS, EIGHTHS, SIXTEENTHS = ((4,),), ((2,),), ((1,),), ((0.5,),), ((0.25,),)
OFF_BEATS = ((-1, 1, 1, 1), (-0.5, 0.5))
RUNNING = ((0.5,) * 8, (1, 0.5, 0.5, 1, 1), (0.5, 0.25, 0.25) * 4, (1.5, 0.5, 0.5, 0.5, 1), (0.25,) * 8 + (0.5,) * 4)
DOTTED = ((0.75, 0.25) * 4, (1.75, 0.25, 1.75, 0.25), (1, 0.75, 0.25, 1, 1))
SINGING = ((2, 1, 1), (1.5, 0.5, 1, 1), (3, 1), (1, 1, 1, -1), (0.5, 0.5, 0.5, 0.5, 2), (2, 2))
ARIA = ((3, 1), (2, 1, 1), (4,), (1.5, 0.5, 2), (1, 1, 2), (2, -1, 1), (0.5, 0.5, 1, 2), (6, -2))
PLAINSONG = ((1, 1, 0.5, 0.5, 1, 1, 1.5, -0.5), (1, 1, 1, 0.5, 0.5, 2.5, -1.5), (0.5, 1, 1, 1, 1, 1, 1.5, 2.5, -2.5))
TRIPLE = ((2, 1, 2, 1), (3, 2, 1), (1,) * 6, (1, 1, 1, 3), (1.5, 0.5, 1, 2, 1))
LICKS = ((0.5,) * 8, (1, 0.5, 0.5, 1, -1), (-0.5, 0.5, 0.5, 0.5, 1, -1), (1.5, 0.5, 2), (0.5, 1, 1, 0.5, -1),
         (1 / 3, 1 / 3, 1 / 3, 1, 0.5, 0.5, -1), (-1, 0.5, 0.5, 0.5, 0.5, 1))  # fmt: skip
COMPING = ((1.5, -1, 0.5, -1), (-1.5, 0.5, -1, 1), (-0.5, 0.5, -1, 1.5, -0.5), (0.5, -1, 2, -0.5))
RIFFS = (*EIGHTHS, (1, 0.5, 0.5), (1.5, 0.5), (0.75, 0.75, 0.5), (0.5, -0.5, 0.5, 0.5), (2,))
HOOKS = ((0.5, 0.5, 1, 1, -1), (1, 0.5, 0.5, 1.5, -0.5), (-1, 0.5, 0.5, 1, 1), (2, 1, -1))
STRUM = ((1, 0.5, -0.5, 0.5, -0.5, 0.5, 0.5),)

# Progressions: degrees of the scale, 0 is the tonic.
MODAL = ((0, 0, 0, 6), (0, 0, 3, 0), (0, 0, 6, 0))
SEQUENCES = ((0, 3, 6, 2, 5, 1, 4, 0), (0, 4, 5, 2, 3, 0, 3, 4), (0, 6, 5, 4, 0, 3, 4, 0), (0, 5, 1, 4, 0, 3, 1, 4))
CADENCES = ((0, 0, 4, 4, 4, 4, 0, 0), (0, 3, 0, 4, 0, 3, 4, 0), (0, 5, 3, 4, 0, 1, 4, 0), (0, 4, 0, 3, 1, 4, 0, 4))
ROMANTIC = ((0, 5, 3, 1, 4, 4, 0, 0), (0, 2, 5, 3, 1, 4, 2, 5), (0, 3, 1, 5, 3, 1, 4, 0), (5, 3, 0, 4, 5, 1, 2, 2))
CHANGES = ((1, 4, 0, 0, 1, 4, 0, 5), (0, 5, 1, 4, 2, 5, 1, 4), (1, 4, 0, 3, 6, 2, 5, 5), (0, 0, 3, 3, 1, 4, 0, 4))
BLUES = ((0, 0, 0, 0, 3, 3, 0, 0, 4, 3, 0, 0), (0, 3, 0, 0, 3, 3, 0, 0, 4, 3, 0, 4))
ROCK = ((0, 5, 3, 4) * 2, (0, 4, 5, 3) * 2, (0, 3, 0, 4) * 2, (0, 6, 3, 0) * 2, (0, 5, 6, 0) * 2, (0, 0, 3, 0) * 2)

# Drum kits: a sixteenth a character.
FILL = "." * 120
BACKBEAT = {
    "kick": "x.......x.x.....x.....x.x.......", "snare": "....x.......x..." * 7 + "....x...xxx.....",
    "high tom": FILL + "...xxx..", "low tom": FILL + "......xx", "crash": "x" + "." * 127,
}  # fmt: skip
SWINGING = {"pedal hat": "....x.......x...", "kick": "o...o...o...o...", "snare": "..?...?...?.?.?."}
TABOR = {"low tom": "x.......o...x.......o...", "tambourine": "........o.......o...o..."}

# Functions that choose pitches, with other options than the usual.
plainsong = partial(melody, leap=0.04, anchored=0.2)
chordal = partial(melody, leap=0.0, anchored=1.0)
alberti = partial(arpeggio, order=(0, 2, 1, 2))
roots = partial(bass, fifths=0.0)

CONTINUO = (
    Layer(bass, "cello bassoon contrabass", BEATS + EIGHTHS, sounding=0.8),
    Layer(block_chord, "harpsichord harpsichord organ lute", HALVES + BEATS, (50, 72), 70, 66),
)
CHOIR = tuple(
    Layer(chordal, voice, ((1,), (1.5, 0.5), (2, 1, 1)), unison=4, velocity=92, volume=104, loose=0.03)
    for voice in ("soprano", "alto", "tenor", "baritone")
)
WALKING_BASS = Layer(walking_bass, "double_bass", BEATS, volume=112, velocity=88, loose=0.01)
PIANO_COMPING = Layer(block_chord, "piano piano jazz_guitar drawbar_organ electric_piano", COMPING, (52, 72), 80, 66)


def singer(voices: str, *, sections: str = "x", chance: float = 1.0) -> Layer:
    """Return the layer of an operatic soloist."""
    return Layer(melody, voices, ARIA, None, 116, 96, sounding=1, vibrato=0.4, loose=0.03, sections=sections,
                 chance=chance)  # fmt: skip


def rock_vocal(chance: float, velocity: int = 96) -> Layer:
    """Return the layer of a rock singer, who is silent in every fourth section."""
    return Layer(melody, "tenor tenor alto", HOOKS, None, 108, velocity, vibrato=0.1, sections="xxx.", chance=chance)


def horn(sections: str) -> Layer:
    """Return the layer of an improvising soloist of jazz."""
    return Layer(melody, "tenor_sax alto_sax trumpet trombone clarinet vibraphone jazz_guitar", LICKS, None, 108, 92,
                 sections=sections)  # fmt: skip


CHURCH_MODES = "dorian phrygian mixolydian dorian lydian"
MEDIEVAL = (
    Style(  # plainsong, alone, in octaves or in parallel fifths, over a drone or not
        ("medieval", "chant", "chanting", "choir", "vocal"), (85, 150), CHURCH_MODES, MODAL, (8,), (
            (
                Layer(plainsong, "baritone tenor", PLAINSONG, (45, 60), 110, unison=4, loose=0.03),
                Layer(plainsong, "tenor alto soprano", PLAINSONG, (55, 70), 110, unison=2, loose=0.03),
                Layer(plainsong, "tenor", PLAINSONG, (48, 62), 100, unison=2, stack=(0, 7), loose=0.03),
                Layer(plainsong, "tenor", PLAINSONG, (46, 60), 100, unison=2, stack=(0, 12), loose=0.03),
            ),
            Layer(roots, "baritone organ", ((8,),), (40, 54), 84, unison=2, sounding=1, chance=0.4),
        ),
        chord=HOLLOW, rubato=0.05, dynamics=0.25,
    ),
    Style(  # dance over a drone and a small drum
        ("medieval", "drone", "folk"), (140, 230), "dorian mixolydian", MODAL, (6, 12), (
            Layer(melody, "recorder recorder flute bagpipe fiddle", TRIPLE, (62, 81), 104, 90),
            Layer(melody, "fiddle recorder", TRIPLE, (55, 74), 80, chance=0.5),
            Layer(roots, "fiddle bagpipe", ((6,),), (43, 58), 76, 70, (0, 7), 1.0),
        ),
        chord=HOLLOW, drums=(TABOR, TABOR, {"high bongo": "x.......x...", "tambourine": "....o...o.o."}, {}),
        dynamics=0.12,
    ),
    Style(  # song of a troubadour, or a motet over a slow tenor
        ("medieval", "vocal", "folk"), (70, 130), CHURCH_MODES, MODAL, (3, 6), (
            (
                Layer(melody, "tenor tenor alto soprano", TRIPLE, None, 104, loose=0.03),
                Layer(melody, "tenor alto", TRIPLE, None, 100, unison=2, loose=0.03),
                Layer(melody, "recorder fiddle flute", TRIPLE, None, 104, loose=0.03),
            ),
            (
                Layer(arpeggio, "lute lute harp psaltery nylon_guitar", BEATS + EIGHTHS, (45, 66), 92, 66, sounding=2),
                Layer(roots, "baritone fiddle organ", ((6,),), (43, 57), 90, 70, unison=2, sounding=1),
            ),
            Layer(melody, "fiddle recorder tenor", TRIPLE, (53, 70), 80, 74, chance=0.4),
        ),
        chord=HOLLOW, rubato=0.05,
    ),
)  # fmt: skip

BAROQUE = (
    Style(  # concerto: tutti of strings, a soloist's runs between
        ("baroque", "classical"), (84, 132), "major minor minor", SEQUENCES, (2, 2, 4), (
            Layer(runs, "violin violin oboe flute trumpet cello", SIXTEENTHS, None, 112, 86, vibrato=0.1),
            Layer(melody, "strings", RUNNING, (62, 82), 104, 88, sections="x."),
            Layer(block_chord, "strings", EIGHTHS, (50, 70), 96, 72, sounding=0.7, sections="x."),
            Layer(block_chord, "strings", BEATS, (55, 74), 84, 58, sounding=0.6, sections=".x"),
            Layer(bass, "cello contrabass", EIGHTHS, (36, 50), 100, 84, sounding=0.75),
            Layer(block_chord, "harpsichord", BEATS, (48, 72), 64, 66),
        ),
    ),
    Style(  # trio sonata: two trebles over a continuo
        ("baroque", "classical"), (66, 126), "major minor", SEQUENCES, (2,), (
            Layer(melody, "oboe flute violin violin recorder", RUNNING, (64, 84), 100, 84, vibrato=0.1),
            Layer(melody, "oboe violin violin recorder", RUNNING, (60, 79), 100, 80, vibrato=0.1),
            *CONTINUO,
        ),
        dynamics=0.12,
    ),
    Style(  # prelude or fugue for one player
        ("baroque", "classical", "solo"), (60, 108), "major minor", SEQUENCES, (2, 4), (
            Layer(runs, "harpsichord harpsichord organ cello lute violin piano", SIXTEENTHS + EIGHTHS, volume=108),
            Layer(melody, "same", RUNNING, (52, 70), 100, chance=0.6),
            Layer(bass, "same", BEATS + EIGHTHS + HALVES, (36, 52), 100, 74, chance=0.7),
        ),
        rubato=0.02, dynamics=0.1,
    ),
    Style(  # overture: dotted rhythms, oboes, trumpets and drums
        ("baroque", "classical", "orchestral"), (58, 120), "major major minor", SEQUENCES, (2,), (
            Layer(melody, "strings", DOTTED, (64, 84), 100, 92),
            Layer(melody, "trumpet oboe", DOTTED, (64, 82), 92, 92, sections=".x"),
            Layer(block_chord, "strings", ((0.75, 0.25, 1),), (50, 70), 92, 76),
            Layer(bass, "timpani", ((0.75, 0.25, 1),), None, 90, 84, chance=0.6),
            *CONTINUO,
        ),
        dynamics=0.15,
    ),
)  # fmt: skip

CLASSICAL = (
    Style(  # symphony about 1780
        ("classical", "orchestral", "orchestra"), (72, 168), "major minor", CADENCES, (2, 4), (
            Layer(melody, "strings", SINGING, (62, 84), 104, 90, stack=(0, -12), sections="xx."),
            Layer(melody, "oboe flute bassoon clarinet", SINGING, None, 96, 80, sections="..x"),
            Layer(melody, "flute oboe", SINGING, (67, 86), 88, 80, sections="x.."),
            Layer(block_chord, "strings", EIGHTHS + HALVES, (50, 72), 100, 66, sounding=0.8),
            Layer(bass, "contrabass", EIGHTHS + BEATS + HALVES, (34, 48), 100, sounding=0.8),
            Layer(block_chord, "horn", ((2, 1, -1),), (50, 64), 84, 78, sections="x.."),
            Layer(bass, "timpani", ((1, 1, 0.5, 0.5, 1),), None, 96, 88, sections="x.."),
        ),
        rubato=0.015, dynamics=0.35,
    ),
    Style(  # romantic orchestra: long swells, brass, harp
        ("classical", "orchestral", "orchestra"), (56, 132), "minor major", ROMANTIC, (4,), (
            Layer(melody, "strings", ARIA, (60, 81), 108, 82, stack=(0, -12), sounding=1, sections="x.xx"),
            Layer(melody, "clarinet flute oboe horn", ARIA, None, 100, 74, sounding=1, sections=".xx."),
            Layer(melody, "brass trumpet horn", ARIA, None, 92, 100, sections="...x"),
            Layer(block_chord, "strings", HELD, (48, 74), 100, 66, sounding=1, sections="xx.."),
            Layer(block_chord, "strings", SIXTEENTHS, (50, 74), 100, 70, sections="..xx"),
            Layer(block_chord, "brass", ((1.5, -0.5, 1, 0.5, 0.5),), (46, 67), 88, 90, sections="...x"),
            Layer(bass, "contrabass", HELD + BEATS, (31, 46), 104),
            Layer(arpeggio, "harp", EIGHTHS, None, 90, 58, sounding=3, sections="x..", chance=0.6),
            Layer(bass, "timpani", ((1, 0.5, 0.5, 2),), None, 100, 96, sections="...x"),
        ),
        rubato=0.04, dynamics=0.45,
    ),
    Style(  # piano: a sonata or a nocturne
        ("classical", "classic", "piano solo"), (56, 140), "major major minor", CADENCES + ROMANTIC, (2, 4), (
            Layer(melody, "piano", SINGING, (65, 90), 110, 84, sounding=1, sections="xx.", loose=0.015),
            Layer(runs, "piano", SIXTEENTHS, (62, 90), 110, 76, sections="..x", loose=0.015),
            (
                Layer(alberti, "piano", EIGHTHS, (45, 66), 104, 60),
                Layer(arpeggio, "piano", SIXTEENTHS + EIGHTHS, (36, 66), 104, 56, sounding=4, loose=0.015),
                Layer(block_chord, "piano", ((1, 1), (2, 2)), (44, 62), 104, 62),
            ),
            Layer(roots, "piano", HALVES, (33, 45), 100, 66, chance=0.5),
        ),
        rubato=0.05, dynamics=0.35,
    ),
    Style(  # chamber music: strings or winds
        ("classical", "chamber", "strings"), (66, 150), "major minor", CADENCES + ROMANTIC[:2], (2, 4), (
            Layer(melody, "violin violin flute", SINGING, None, 108, 88, vibrato=0.13, sections="xx."),
            Layer(melody, "cello violin", SINGING, None, 108, 88, vibrato=0.13, sections="..x"),
            Layer(chordal, "violin", EIGHTHS + BEATS + HALVES, (58, 74), 96, 66, vibrato=0.1),
            Layer(chordal, "viola", EIGHTHS + BEATS + HALVES, (53, 67), 96, 66, vibrato=0.1),
            Layer(bass, "cello", EIGHTHS + BEATS + HALVES, (36, 52), 100, 72, vibrato=0.1),
        ),
        rubato=0.02, dynamics=0.3,
    ),
)  # fmt: skip

OPERA = (
    Style(  # aria
        ("opera", "vocal", "classical", "singing"), (54, 104), "major minor", CADENCES + ROMANTIC, (2, 4), (
            singer("soprano alto tenor baritone"),
            (
                Layer(block_chord, "strings", HELD, (46, 74), 84, 64, sounding=1),
                Layer(block_chord, "strings", EIGHTHS, (48, 70), 84, 60, sounding=0.7),
                Layer(arpeggio, "strings harp piano", EIGHTHS, (45, 72), 88, 62),
                Layer(block_chord, "pizzicato", OFF_BEATS, (45, 70), 96, 70),
            ),
            Layer(bass, "cello contrabass pizzicato", ((2, 2), (4,), (1, -1)), (34, 50), 90, 72),
            Layer(melody, "flute clarinet oboe violin", SINGING, None, 76, 68, vibrato=0.08, chance=0.6),
        ),
        rubato=0.05, dynamics=0.3,
    ),
    Style(  # scene: one or two high voices against the whole orchestra
        ("opera", "vocal", "classical", "orchestral"), (60, 126), "minor major", ROMANTIC, (4,), (
            singer("tenor soprano soprano", sections="xxx."),
            singer("tenor baritone", sections="..xx", chance=0.5),
            Layer(block_chord, "strings", SIXTEENTHS + HELD, (50, 76), 92, 70),
            Layer(melody, "strings", SINGING, (60, 84), 84),
            Layer(block_chord, "horn brass", ((1.5, -0.5, 2),), (44, 65), 84, 80),
            Layer(bass, "contrabass", HELD + BEATS + EIGHTHS, (31, 46), 100, 86),
            Layer(bass, "timpani", ((-2, 0.5, 0.5, 1),), None, 92, 90),
        ),
        rubato=0.05, dynamics=0.35,
    ),
    Style(  # chorus with orchestra
        ("opera", "choir", "classical"), (72, 138), "major minor", CADENCES + ROMANTIC, (2, 4), (
            *CHOIR,
            Layer(block_chord, "strings", EIGHTHS + BEATS, (48, 76), 84, 70, sounding=0.8),
            Layer(block_chord, "brass", BEATS, (46, 67), 80, 76, chance=0.7),
            Layer(bass, "contrabass", BEATS, (34, 48), 96, 84),
            singer("soprano tenor", sections="..x", chance=0.5),
        ),
        rubato=0.02, dynamics=0.3,
    ),
)  # fmt: skip

JAZZ = (
    Style(  # quartet: two horns in turn over walking bass and ride cymbal
        ("jazz", "jazzy", "classic"), (108, 232), "major major minor dorian mixolydian", CHANGES + BLUES, (4,), (
            horn("x."), horn(".x"), WALKING_BASS, PIANO_COMPING,
        ),
        chord=NINTH, swing=0.64, rubato=0.004,
        drums=({**SWINGING, "ride": "x...x.o.x...x.o."}, {**SWINGING, "brush": "o...o.o.o...o.o."}),
    ),
    Style(  # piano trio, sometimes without drums; or the piano alone
        ("jazz", "jazzy", "piano"), (80, 210), "major major minor mixolydian", CHANGES + BLUES, (4,), (
            Layer(melody, "piano piano piano vibraphone jazz_guitar", LICKS, (60, 86), 108, 86),
            Layer(block_chord, "same", COMPING, (48, 67), 96, 62),
            (
                WALKING_BASS,
                WALKING_BASS,
                Layer(roots, "same", ((1, -1),), (31, 45), 100),
            ),
        ),
        chord=NINTH, swing=0.64, rubato=0.008, dynamics=0.25,
        drums=({**SWINGING, "ride": "o...x.o.o...x.o."}, {**SWINGING, "brush": "o...o.o.o...o.o."}, {}),
    ),
    Style(  # big band
        ("jazz", "jazzy", "orchestral"), (112, 220), "major minor mixolydian", CHANGES + BLUES, (4,), (
            Layer(block_chord, "alto_sax", LICKS, (53, 74), 104, 90, sections="x."),
            Layer(melody, "trumpet tenor_sax trombone", LICKS, None, 100, 94, sections=".x"),
            Layer(block_chord, "brass", ((0.5, -1, 0.5, -2), (-2.5, 0.5, -0.5, 0.5), (3.5, -0.5)), (55, 76), 96, 96),
            WALKING_BASS,
            PIANO_COMPING,
        ),
        chord=NINTH, swing=0.64, rubato=0.004, dynamics=0.25, drums=({**SWINGING, "ride": "x...x.x.x...x.x."},),
    ),
    Style(  # ballad with brushes, or a bossa nova
        ("jazz", "slow", "latin"), (58, 132), "major minor dorian", CHANGES, (4,), (
            Layer(melody, "tenor_sax alto_sax trumpet flute piano alto", SINGING + LICKS[1:5],
                  None, 110, 86, vibrato=0.12, loose=0.025),
            Layer(block_chord, "piano nylon_guitar jazz_guitar electric_piano", ((2, 2), (1.5, 1.5, 1)),
                  (50, 72), 90, 62),
            Layer(bass, "double_bass", ((1.5, 0.5, 2), (2, 1.5, 0.5)), None, 108, 82),
        ),
        chord=NINTH, dynamics=0.25,
        drums=(
            {**SWINGING, "brush": "o...o.o.o...o.o."},
            {"shaker": "o.o.o.o.", "stick": "x.....x.....x...", "kick": "o.......o......."},
        ),
    ),
)  # fmt: skip

ROCK_STYLES = (
    Style(  # hard rock and metal: power chords, backbeat, a singer, a solo in every fourth section
        ("rock", "hard rock", "loud"), (96, 184), "minor mixolydian dorian phrygian major", ROCK, (2, 4), (
            Layer(roots, "overdriven distorted", RIFFS + SIXTEENTHS, (40, 51), 84, 100, (0, 7, 12)),
            Layer(roots, "overdriven distorted clean_guitar", RIFFS + HELD, (45, 56), 64, 88, (0, 7), loose=0.018),
            Layer(roots, "electric_bass picked_bass", RIFFS, None, 108, 96),
            rock_vocal(0.65),
            Layer(melody, "overdriven distorted", RIFFS + RUNNING, (62, 86), 100, 104, vibrato=0.2, sections="...x"),
        ),
        melodic_mode="blues", rubato=0.003, dynamics=0.12,
        drums=(
            {**BACKBEAT, "hat": "x.o.x.o."}, {**BACKBEAT, "ride": "x.o.x.o."}, {**BACKBEAT, "crash": "x...x..."},
            {**BACKBEAT, "open hat": "x...", "kick": "xxxx" * 4},
        ),
    ),
    Style(  # rock and roll: the blues, shuffled or straight
        ("rock", "blues", "pop"), (120, 190), "mixolydian", BLUES, (4,), (
            Layer(roots, "clean_guitar overdriven", (*EIGHTHS, (0.5, 0.5, -0.5, 0.5)), (40, 51), 96, 92, (0, 7)),
            Layer(arpeggio, "electric_bass double_bass", BEATS, (28, 46), 108, 94),
            Layer(melody, "piano tenor_sax clean_guitar overdriven", RIFFS + LICKS, None, 96, 98, sections="..x"),
            Layer(block_chord, "piano drawbar_organ", (*EIGHTHS, (-0.5, 0.5)), (60, 79), 76, chance=0.7),
            rock_vocal(0.7),
        ),
        melodic_mode="blues", swing=0.56, rubato=0.004, dynamics=0.12,
        drums=({**BACKBEAT, "hat": "x.o.x.o."}, {**BACKBEAT, "ride": "x.o.x.o."}),
    ),
    Style(  # ballad that grows loud in every second section
        ("rock", "soft rock", "pop"), (66, 116), "major minor mixolydian", ROCK, (4,), (
            Layer(block_chord, "steel_guitar steel_guitar clean_guitar", STRUM, None, 92, 74),
            Layer(roots, "overdriven", HELD, (40, 51), 80, 88, (0, 7, 12), sections=".x"),
            Layer(block_chord, "piano drawbar_organ strings electric_piano", HELD, (52, 74), 76, 66),
            Layer(bass, "electric_bass", ((1.5, 0.5), (1, 1), (0.5,)), None, 104, 88),
            rock_vocal(1.0, 90),
        ),
        rubato=0.005, drums=({**BACKBEAT, "hat": "o.o.o.o."}, {**BACKBEAT, "ride": "o.o.o.o."}),
    ),
)  # fmt: skip

OTHER = (
    Style(  # electronic: with a beat, or without
        ("electronic", "ambient", "techno"), (60, 140), "minor phrygian dorian", ((0, 0, 5, 6), (0, 5, 3, 0)), (8,), (
            Layer(block_chord, "pad", ((8,),), None, 100, 70, sounding=1),
            Layer(arpeggio, "synth_bass synth_lead", SIXTEENTHS, (36, 60), 96, 84, chance=0.6),
            Layer(melody, "vibraphone synth_lead electric_piano", ((2, -2), (-1, 1, 2)), None, 84, 64),
        ),
        rubato=0, drums=({"kick": "x...", "open hat": "..o.", "clap": "....x..."}, {}),
    ),
    Style(  # folk and country
        ("folk", "acoustic", "country"), (88, 144), "major dorian mixolydian", CADENCES + ROCK, (4,), (
            Layer(arpeggio, "steel_guitar banjo", EIGHTHS, None, 100, 76, sounding=2),
            Layer(melody, "fiddle flute accordion alto tenor", SINGING + RUNNING[:2], None, 104, 86),
            Layer(bass, "double_bass", HALVES, None, 100, 84, chance=0.6),
        ),
        drums=({"kick": "x.......", "snare": "....o...", "hat": "o.o."}, {}),
    ),
    Style(  # raga: sitar over a drone and hand drums
        ("indian", "eastern", "drone"), (80, 130), "raga", ((0, 0, 0, 0),), (4,), (
            Layer(melody, "sitar", RUNNING + SINGING, None, 110, 92, vibrato=0.2),
            Layer(roots, "sitar accordion", HELD, (43, 58), 80, 70, (0, 7), sounding=1),
        ),
        chord=HOLLOW, drums=({"low bongo": "x.......x.......", "high bongo": "...o..o.....x.o."},),
    ),
)  # fmt: skip

STYLES = {
    "classical": CLASSICAL, "rock": ROCK_STYLES, "baroque": BAROQUE, "jazz": JAZZ, "medieval": MEDIEVAL, "opera": OPERA,
    "other": OTHER,
}  # fmt: skip
