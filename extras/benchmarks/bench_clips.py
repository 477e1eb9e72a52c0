"""Clips like MagnaTagATune's, made on the fly: mp3, 16 kHz mono, 32 kbit/s, 29.1 s, a few of them under many names."""

import os
import shutil
from pathlib import Path

import numpy as np
import soundfile

RATE, SAMPLES = 16000, 464_448  # 29.1 s with what the encoder adds
DIFFERENT = 24  # clips that are really made; the others are these under other names


def music(seed: int) -> np.ndarray:
    """Make decaying chords over pulsing noise: its spectrum falls as that of music, which keeps a decoder busy."""
    random, time = np.random.default_rng(seed), np.arange(SAMPLES) / RATE
    beat = time % random.uniform(0.3, 0.7)
    chord = random.uniform(60, 400) * np.array([1, 1.26, 1.5, 2.52, 3])
    tones = sum(
        np.sin(2 * np.pi * number * pitch * time) * np.exp(-beat * 3 * number) / number
        for pitch in chord
        for number in (1, 2, 3, 4)
        if number * pitch < RATE / 2
    )
    noise = np.cumsum(random.standard_normal(SAMPLES))
    noise = np.diff(noise - 0.9 * np.roll(noise, 1), prepend=0) * np.exp(-beat * 12)
    return (0.1 * tones + 0.05 * noise).clip(-1, 1)


def make(folder: Path, count: int, linked: bool = True) -> list[str]:
    """Fill `folder` with `count` clips in sixteen folders, links to or copies of a few files; return their paths."""
    place = os.link if linked else shutil.copyfile
    clips, originals = [], folder.parent / "originals"
    originals.mkdir(parents=True, exist_ok=True)
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": 0.84}
    for seed in range(min(count, DIFFERENT)):
        if not (originals / f"{seed}.mp3").exists():
            soundfile.write(originals / f"{seed}.mp3", music(seed), RATE, **options)
    for number in range(count):
        clip = f"{number % 16:x}/artist_{number // 20}-album-{number // 10 % 9:02d}-title_{number // 2}-0-29.mp3"
        (folder / clip).parent.mkdir(parents=True, exist_ok=True)
        place(originals / f"{number % DIFFERENT}.mp3", folder / clip)
        clips.append(clip)
    return clips
