"""Hundreds of damaged, mislabelled, hostile recordings: each becomes a valid spectrogram or a line in failures.csv."""

import random
from collections import Counter

import numpy as np
import pytest
import soundfile
import tiny_music
from tiny_pipeline import run_script

from music_featurization.artifacts import STEP_1, Artifacts
from music_featurization.dataset import spectrogram_folder

KINDS = 24  # of damage; see `_damage`
PER_KIND = 23


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Whole recordings in every format, as bytes by file ending and number."""
    folder, found = tmp_path_factory.mktemp("originals"), {}
    for number, (rate, channels) in enumerate([(16000, 1), (48000, 2), (8000, 1), (24000, 2)]):
        samples = np.stack([tiny_music.music(1, rate, seed) for seed in range(channels)], axis=1)
        for ending in ("mp3", "wav", "flac", "ogg", "opus"):
            path = folder / f"{number}.{ending}"
            if ending == "mp3":
                mode = ("CONSTANT", "VARIABLE", "AVERAGE", "CONSTANT")[number]
                options = tiny_music.MP3 | {"bitrate_mode": mode, "compression_level": (0.84, 0.5, 0.5, 0.2)[number]}
                soundfile.write(path, samples, rate, **options)
            else:
                soundfile.write(
                    path, samples, rate, **({"format": "OGG", "subtype": "OPUS"} if ending == "opus" else {})
                )
            found[ending, number] = path.read_bytes()
    return found


def _flip(random_, data, flips):
    """Some bits turned over."""
    data = bytearray(data)
    for _ in range(flips):
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
    return bytes(data)


def _damage(random_, mp3, other, kind):
    """Name ending and bytes of a file with one of KINDS kinds of damage."""
    at, to = sorted(random_.sample(range(len(mp3)), 2))
    noise = random_.randbytes(random_.randrange(1, 3000))
    ending = random_.choice(["wav", "flac", "ogg", "opus"])
    foreign = other[ending]
    half = foreign[: random_.randrange(len(foreign))]
    id3 = b"ID3" + bytes([random_.randrange(6), 0, random_.randrange(256)]) + random_.randbytes(4)
    return [
        ("mp3", _flip(random_, mp3, 1)),
        ("mp3", _flip(random_, mp3, 30)),
        ("mp3", _flip(random_, mp3, 2000)),
        ("mp3", mp3[:at]),
        ("mp3", mp3[at:]),
        ("mp3", mp3[:at] + mp3[to:]),
        ("mp3", mp3[:at] + noise + mp3[at:]),
        ("mp3", mp3[:at] + other["mp3"][at:]),
        ("mp3", mp3 + other["mp3"]),
        ("mp3", id3 + mp3),
        ("mp3", id3 + noise + mp3),
        ("mp3", noise + mp3),
        ("mp3", mp3 + noise),
        ("mp3", noise),
        ("mp3", b"\xff\xfb" * random_.randrange(1, 999)),
        ("mp3", mp3[: random_.randrange(12)]),
        ("mp3", foreign),
        ("mp3", half),
        (ending, mp3),
        (ending, half),
        (ending, foreign + noise),
        (ending, _flip(random_, foreign, 5)),
        (ending, _flip(random_, foreign, 99)),
        (ending, _flip(random_, foreign[:64], 3) + foreign[64:]),
    ][kind]


def _oddities(folder):
    """Files that are whole, but not what a clip should be; more kinds than can be drawn at random."""
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


def test_every_file_ends_as_a_spectrogram_or_a_failure(originals, tmp_path, capsys):
    folder = tmp_path / "datasets/mp3_files"
    folder.mkdir(parents=True)
    random_ = random.Random(20260)
    for kind in range(KINDS):
        for number in range(PER_KIND):
            first, second = random_.sample(range(4), 2)
            other = {ending: originals[ending, second] for ending in ("mp3", "wav", "flac", "ogg", "opus")}
            ending, content = _damage(random_, originals["mp3", first], other, kind)
            (folder / f"kind {kind:02d} {number:02d}.{ending}").write_bytes(content)
    _oddities(folder)
    (folder / "a folder.mp3").mkdir()
    files = {path.name for path in folder.iterdir() if path.is_file()}
    assert len(files) > 570
    assert run_script(STEP_1, tmp_path, "--time-limit", 30) == 0
    made = list(spectrogram_folder.check(Artifacts(tmp_path)))
    failed = spectrogram_folder.read_failures(tmp_path / "datasets/spectrograms")
    assert [path for path, problem in made if problem] == []
    assert {path[:-4] for path, _ in made} | {name.rpartition(".")[0] for name in failed} == {
        name.rpartition(".")[0] for name in files
    }
    assert len(made) + len(failed) == len(files)
    reasons = Counter(reason.partition(":")[0] for reason in failed.values())
    assert not reasons.keys() & {"the decoder crashed on it", "no end after 30 s", "out of memory"}
    with capsys.disabled():
        print(f"\n{len(files)} hostile files: {len(made)} spectrograms, {len(failed)} failures {dict(reasons)}")
    assert (
        "ten minutes.npy" in dict(made) and "samples 1.wav" in failed and "nan.wav" in failed and "huge.wav" in failed
    )
