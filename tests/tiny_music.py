"""A tiny collection of music in MagnaTagATune's layout, made on the fly."""

import csv

import librosa
import numpy as np
import soundfile

from music_featurization.artifacts import REPOSITORY

MP3 = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": 0.84}
REAL_CLIP = REPOSITORY.parent / "shared/magnatagatune/joram-moments_of_clarity-08-solipsism-59-88.mp3"

SINGER = REPOSITORY / "tests/data/vocadito_10.mp3"  # a man sings unaccompanied

TAGS = ("classical", "baroque", "opera", "medieval", "jazz", "rock", "hard rock", "jazzy", "piano", "no piano")
# Tags of the clips in turn; several genres, synonyms, and none of the six.
TAGS_OF_CLIPS = (
    ("classical", "piano"), ("classical", "baroque"), ("opera", "classical"), ("medieval",), ("jazz", "piano"),
    ("rock",), ("hard rock",), ("jazzy", "jazz"), ("no piano",), ("classical",), ("rock", "hard rock"), ("baroque",),
)  # fmt: skip


def music(seconds, rate=16000, seed=0):
    """Two gliding tones over noise that swells: something in every band, at every level."""
    random, time = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    pitch = random.uniform(80, 800)
    tones = np.sin(2 * np.pi * pitch * time * (1 + 0.1 * time)) + 0.3 * np.sin(2 * np.pi * 3.01 * pitch * time)
    return (0.2 * tones + 0.02 * random.standard_normal(len(time)) * (1 + np.sin(3 * time))).astype(np.float32)


def log_mel_of_librosa(path):
    """Compute DESIGN section 4 with librosa alone."""
    samples, rate = librosa.load(path, sr=16000)
    power = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=512, hop_length=256, n_mels=96)
    return np.log10(1 + 10000 * power * 0.3 / power.mean())


def write_mp3(path, samples, rate=16000):
    """Encode as MagnaTagATune is: mp3, 32 kbit/s at 16 kHz mono."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **MP3)
    return path


def write_wav(path, seconds=4, seed=0):
    """Write music in WAV format to a file of any name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, music(seconds, seed=seed), 16000, format="WAV")
    return path


def clip_path(number):
    """`mp3_path` of the tiny collection's clip: 4 artists, 2 clips per song."""
    return f"{number % 16:x}/artist_{number // 2 % 4}-album-{number // 8:02d}-title {number // 2}-0-1.mp3"


def make_collection(root, clips=32, seconds=1.2):
    """Write `datasets/mp3_files` and `datasets/annotations_final.csv`; returns the root."""
    for number in range(clips):
        write_mp3(root / "datasets/mp3_files" / clip_path(number), music(seconds, seed=number))
    rows = [(100 + number, TAGS_OF_CLIPS[number % len(TAGS_OF_CLIPS)], clip_path(number)) for number in range(clips)]
    write_annotations(root, rows)
    return root


def write_annotations(root, rows, tags=TAGS):
    """Rows of (clip_id, tags that are set, mp3_path) in the layout of annotations_final.csv."""
    with open(root / "datasets/annotations_final.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        table.writerow(["clip_id", *tags, "mp3_path"])
        table.writerows([number, *(int(tag in those) for tag in tags), path] for number, those, path in rows)
