"""The instruments and voices of the demo: their General MIDI programs, tags in MagnaTagATune and registers."""

from typing import NamedTuple

DRUMS = "drums"
VOICES = ("soprano", "alto", "tenor", "baritone")
DRUM_KIT = {
    "kick": 36, "stick": 37, "snare": 38, "clap": 39, "brush": 40, "low tom": 41, "hat": 42, "pedal hat": 44,
    "open hat": 46, "high tom": 48, "crash": 49, "ride": 51, "tambourine": 54, "high bongo": 60, "low bongo": 61,
    "shaker": 70,
}  # fmt: skip


class Instrument(NamedTuple):
    """An instrument: General MIDI program, tag in MagnaTagATune, comfortable register (MIDI pitch)."""

    program: int
    tag: str
    register: tuple[int, int]
    is_voice: bool = False


_ROWS = """
piano           0   piano            55 84      | electric_piano  4   piano            52 79
harpsichord     6   harpsichord      53 81      | vibraphone      11  bells            58 81
psaltery        15  harp             60 81      | drawbar_organ   16  organ            52 76
organ           19  organ            53 81      | accordion       21  organ            55 79
nylon_guitar    24  classical_guitar 48 74      | lute            24  lute             45 69
steel_guitar    25  acoustic_guitar  47 72      | jazz_guitar     26  guitar           50 76
clean_guitar    27  guitar           47 72      | overdriven      29  electric_guitar  45 81
distorted       30  electric_guitar  45 81      | double_bass     32  bass             28 48
electric_bass   33  bass             28 45      | picked_bass     34  bass             28 45
synth_bass      38  synth            30 50      | violin          40  violin           62 86
viola           41  viola            53 72      | cello           42  cello            38 60
contrabass      43  bass             30 50      | pizzicato       45  strings          45 72
harp            46  harp             45 81      | timpani         47  drum             36 48
strings         48  strings          50 76      | trumpet         56  trumpet          58 79
trombone        57  horns            44 67      | horn            60  horn             48 69
brass           61  horns            48 72      | alto_sax        65  sax              55 79
tenor_sax       66  sax              50 74      | oboe            68  oboe             62 82
bassoon         70  woodwind         38 60      | clarinet        71  clarinet         58 82
flute           73  flute            65 88      | recorder        74  flute            67 86
pad             89  synth            48 76      | synth_lead      81  synth            55 79
sitar           104 sitar            55 79      | banjo           105 banjo            50 74
bagpipe         109 woodwind         60 79      | fiddle          110 fiddle           60 81
soprano         53  female_vocal     62 83      | alto            53  female_vocal     55 74
tenor           53  male_vocal       50 69      | baritone        53  male_vocal       43 62
drums           0   drums            0 127
"""


def _read(rows: str) -> dict[str, Instrument]:
    table = {}
    for row in rows.replace("|", "\n").split("\n"):
        if row.strip():
            name, program, tag, low, high = row.split()
            table[name] = Instrument(int(program), tag.replace("_", " "), (int(low), int(high)), name in VOICES)
    return table


INSTRUMENTS = _read(_ROWS)
