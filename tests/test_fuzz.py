"""Hundreds of damaged, mislabelled and hostile recordings: each gives a valid spectrogram or a line in failures.csv."""

import os
import random
from collections import Counter

import numpy as np
import odd_recordings as odd
import pytest
import soundfile
import tiny_music
from tiny_pipeline import run_script

from music_featurization.artifacts import STEP_1, Artifacts
from music_featurization.audio import decoding
from music_featurization.dataset import spectrogram_folder

PER_KIND = 23
ENDINGS = ("wav", "flac", "ogg", "opus")


def _originals():
    """Whole recordings as bytes, by ending and number."""
    modes = ("CONSTANT", "VARIABLE", "AVERAGE", "CONSTANT")
    for number, (rate, channels) in enumerate([(16000, 1), (48000, 2), (8000, 1), (24000, 2)]):
        yield ("mp3", number), odd.mp3(channels, rate, modes[number], (0.84, 0.5, 0.5, 0.2)[number], seconds=1)
        for ending in ENDINGS:
            subtype = "OPUS" if ending == "opus" else None
            form = "OGG" if ending == "opus" else ending.upper()
            yield (ending, number), odd.written(form, subtype, channels, rate, seconds=1)


def _flip(random_, data, flips):
    """Invert some bits."""
    data = bytearray(data)
    for _ in range(flips):
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
    return bytes(data)


def _damaged(random_, mp3, other):
    """Return ending and bytes of a file for each kind of damage."""
    at, to = sorted(random_.sample(range(len(mp3)), 2))
    noise, ending = random_.randbytes(random_.randrange(1, 3000)), random_.choice(ENDINGS)
    foreign = other[ending]
    half = foreign[: random_.randrange(len(foreign))]
    id3 = b"ID3" + bytes([random_.randrange(6), 0, random_.randrange(256)]) + random_.randbytes(4)
    as_mp3 = (
        *(_flip(random_, mp3, flips) for flips in (1, 30, 2000)), mp3[:at], mp3[at:], mp3[:at] + mp3[to:],
        mp3[:at] + noise + mp3[at:], mp3[:at] + other["mp3"][at:], mp3 + other["mp3"], id3 + mp3, id3 + noise + mp3,
        noise + mp3, mp3 + noise, noise, b"\xff\xfb" * random_.randrange(1, 999), mp3[: random_.randrange(12)],
        foreign, half,
    )  # fmt: skip
    as_other = (
        mp3, half, foreign + noise, _flip(random_, foreign, 5), _flip(random_, foreign, 99),
        _flip(random_, foreign[:64], 3) + foreign[64:],
    )  # fmt: skip
    return [*(("mp3", content) for content in as_mp3), *((ending, content) for content in as_other)]


def _write_oddities(folder):
    """Write files that are whole, but not what a clip should be."""
    for rate in (8000, 11025, 12345, 22050, 44101, 96000, 192000):
        soundfile.write(folder / f"rate {rate}.wav", tiny_music.music(0.5, rate), rate)
    for channels in (3, 8):
        for ending in ("wav", "flac", "ogg"):
            samples = np.tile(tiny_music.music(0.5, 44100)[:, None], channels)
            soundfile.write(folder / f"channels {channels} {ending}.{ending}", samples, 44100)
    for count in (0, 1, 2047):
        soundfile.write(folder / f"samples {count}.wav", np.zeros(count), 22050)
    for name, value in (("nan", np.nan), ("inf", np.inf), ("huge", 1e38), ("tiny", 1e-38), ("loud", 100.0)):
        samples = np.sin(np.arange(22050)).astype(np.float32)
        samples[5000:6000] = value
        soundfile.write(folder / f"{name}.wav", samples, 22050, subtype="FLOAT")
    soundfile.write(folder / "rate 1.wav", np.zeros(9), 1)
    soundfile.write(folder / "rate 655350.flac", np.zeros(99999), 655350)
    clip = tiny_music.write_mp3(folder / "ten minutes.mp3", tiny_music.music(1.2)).read_bytes()
    (folder / "ten minutes.mp3").write_bytes(clip[: len(clip) // 144 * 144] * 500)


@pytest.fixture(scope="module")
def hostile_root(tmp_path_factory):
    """A root whose recordings are all damaged or odd."""
    root = tmp_path_factory.mktemp("fuzz")
    folder, random_, originals = root / "datasets/mp3_files", random.Random(20260), dict(_originals())
    folder.mkdir(parents=True)
    for number in range(PER_KIND):
        first, second = random_.sample(range(4), 2)
        other = {ending: originals[ending, second] for ending in ("mp3", *ENDINGS)}
        for kind, (ending, content) in enumerate(_damaged(random_, originals["mp3", first], other)):
            (folder / f"kind {kind:02d} {number:02d}.{ending}").write_bytes(content)
    _write_oddities(folder)
    return root


def test_every_file_ends_as_a_spectrogram_or_a_failure(hostile_root):
    assert run_script(STEP_1, hostile_root, "--time-limit", 30) == 0
    checked = dict(spectrogram_folder.check(Artifacts(hostile_root)))
    failures = spectrogram_folder.read_failures(hostile_root / "datasets/spectrograms")
    assert set(checked.values()) == {None}
    names = [name.rpartition(".")[0] for name in os.listdir(hostile_root / "datasets/mp3_files")]
    assert len(names) > 570
    assert sorted([*(path[:-4] for path in checked), *(name.rpartition(".")[0] for name in failures)]) == sorted(names)
    reasons = Counter(reason.partition(":")[0] for reason in failures.values())
    assert not reasons.keys() & {"its process died", "no end after 30 s", "out of memory"}
    assert "ten minutes.npy" in checked and {"samples 1.wav", "nan.wav", "huge.wav"} < failures.keys()


def test_what_can_be_decoded_of_every_file(hostile_root, capfd):
    for path in sorted((hostile_root / "datasets/mp3_files").iterdir()):
        try:
            assert all(np.ndim(block) == 1 for block in decoding.stream(path, strict=False))
        except decoding.UnreadableAudioError as error:
            assert str(error), path
    assert "Traceback" not in capfd.readouterr().err
