"""What is read and what is refused: damaged, foreign and hostile recordings; the walk over mp3 frames."""

import shutil
import struct

import numpy as np
import pytest
import soundfile
import tiny_music
from hypothesis import given
from hypothesis import strategies as st

from music_featurization.audio import decoding, mpeg


@pytest.fixture(scope="module")
def mp3(tmp_path_factory):
    """A whole clip of three seconds, as bytes."""
    path = tmp_path_factory.mktemp("mp3") / "clip.mp3"
    return tiny_music.write_mp3(path, tiny_music.music(3)).read_bytes()


def read(path):
    return np.concatenate(list(decoding.stream(path)))


def reason(tmp_path, content, name="clip.mp3"):
    """Why a file of this content is refused."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(decoding.UnreadableAudioError) as refused:
        read(tmp_path / name)
    return str(refused.value)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_samples_are_librosas(tmp_path, rate):
    import librosa

    soundfile.write(tmp_path / "clip.wav", np.stack([tiny_music.music(2.1, rate, seed) for seed in (1, 2)], 1), rate)
    ours, (theirs, _) = read(tmp_path / "clip.wav"), librosa.load(tmp_path / "clip.wav", sr=22050)
    assert ours.dtype == np.float32 and len(ours) == len(theirs)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_long_recording_is_the_same_in_parts(tmp_path, monkeypatch, mp3):
    (tmp_path / "clip.mp3").write_bytes(mp3)
    whole = read(tmp_path / "clip.mp3")
    monkeypatch.setattr(decoding, "BLOCK", 5000)
    monkeypatch.setattr(decoding, "CHUNK", 1234)
    np.testing.assert_allclose(read(tmp_path / "clip.mp3"), whole, atol=1e-5)


def test_format_is_told_by_content(tmp_path):
    soundfile.write(tmp_path / "clip.wav", tiny_music.music(1), 16000)
    shutil.move(tmp_path / "clip.wav", tmp_path / "clip.mp3")
    assert len(read(tmp_path / "clip.mp3")) == 22050


def test_empty_and_junk(tmp_path):
    assert reason(tmp_path, b"") == "empty file"
    assert reason(tmp_path, b"this is no music " * 500).startswith("not readable as audio")
    assert reason(tmp_path, bytes(10000)).startswith("not readable as audio")


@pytest.mark.parametrize("cut", [150, 3000, 7001, 10001, -1])
def test_mp3_cut_within_a_frame_is_refused(tmp_path, mp3, cut):
    assert reason(tmp_path, mp3[:cut]).startswith("truncated")


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_cut_between_frames_is_refused(tmp_path, mode):
    """Every frame that is left is whole: only the count in the Info or Xing header tells."""
    path = tmp_path / "clip.mp3"
    soundfile.write(
        path, tiny_music.music(3), 16000, **tiny_music.MP3 | {"bitrate_mode": mode, "compression_level": 0.5}
    )
    whole, cut = path.read_bytes(), 0
    for _ in range(41):
        cut += mpeg.read_frame(whole, cut).length
    assert reason(tmp_path, whole[:cut]) == "truncated: 40 of 86 frames are there"


@pytest.mark.parametrize("ending, subtype", [("ogg", "VORBIS"), ("ogg", "OPUS"), ("wav", "PCM_16"), ("flac", "PCM_16")])
def test_other_formats_cut_are_refused(tmp_path, ending, subtype):
    path = tmp_path / f"clip.{ending}"
    soundfile.write(path, tiny_music.music(3, 48000), 48000, subtype=subtype)
    whole = path.read_bytes()
    assert len(read(path)) == 3 * 22050
    for part in (0.5, 0.95):
        said = reason(tmp_path, whole[: int(len(whole) * part)], path.name)
        assert any(word in said for word in ("truncated", "damaged", "not readable")), said


def test_id3_tags_are_no_damage(tmp_path, mp3):
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 100]) + bytes(228)
    (tmp_path / "clip.mp3").write_bytes(tag + mp3 + b"TAG" + bytes(125))
    assert mpeg.scan((tmp_path / "clip.mp3").read_bytes()) == mpeg.scan(mp3)
    assert len(read(tmp_path / "clip.mp3")) >= 3 * 22050


def test_longer_than_allowed(tmp_path, mp3):
    (tmp_path / "clip.mp3").write_bytes(mp3)
    with pytest.raises(decoding.UnreadableAudioError, match=r"longer than 0.03 minutes: cut it into clips"):
        list(decoding.stream(tmp_path / "clip.mp3", max_seconds=1.8))


def test_header_that_promises_more_than_memory_holds(tmp_path):
    """A wav of 40 bytes that claims 4 GB, and one of 65,535 channels."""
    for channels, data in ((1, 0xFFFFFFF0), (65535, 0xFFFFFFF0)):
        format_ = struct.pack("<HHIIHH", 1, channels, 16000, 16000 * 2 * channels, 2 * channels % 65536, 16)
        header = b"RIFF" + struct.pack("<I", 0xFFFFFFF8) + b"WAVEfmt " + struct.pack("<I", 16) + format_
        assert reason(tmp_path, header + b"data" + struct.pack("<I", data) + bytes(100))


def test_name_that_is_not_utf8(tmp_path, mp3):
    import os

    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp3")
    with open(path, "wb") as file:
        file.write(mp3)
    assert len(read(path)) >= 3 * 22050


@given(st.binary(max_size=600))
def test_scan_bears_any_bytes(data):
    found = mpeg.scan(data)
    assert found.seconds >= 0 and (found.damage is None or found.damage.startswith("truncated"))


@given(cut=st.integers(1, 80 * 144 - 1))
def test_scan_tells_a_cut_within_a_frame(cut):
    frame = b"\xff\xf3\x48\xc0" + bytes(140)  # MPEG-2, 32 kbit/s, 16 kHz: 144 bytes, 36 ms
    found = mpeg.scan((frame * 80)[:cut])
    assert found.seconds == pytest.approx(cut // 144 * 0.036)
    assert bool(found.damage) == (cut % 144 >= 4)  # less than a header may be anything


@given(junk=st.binary(max_size=300))
def test_scan_finds_the_frames_after_junk(junk):
    frames = (b"\xff\xf3\x48\xc0" + bytes(140)) * 10
    after = mpeg.scan(bytes(byte & 0x3F for byte in junk) + frames)
    assert after.damage is None and after.seconds == pytest.approx(0.36)


def test_scan_counts_frames_alike_and_not():
    slow, fast = b"\xff\xf3\x48\xc0" + bytes(140), b"\xff\xf3\x58\xc0" + bytes(176)  # 32 and 40 kbit/s
    for data, count in ((slow * 30 + bytes(200) + slow * 20, 50), (slow * 30 + fast * 4, 34), (fast + slow * 30, 31)):
        found = mpeg.scan(data)
        assert found.damage is None and found.seconds == pytest.approx(count * 0.036)


def test_frames_are_those_of_the_standard():
    """Headers by hand: MPEG-1 128 kbit/s 44.1 kHz, MPEG-2 32 kbit/s 16 kHz padded; reserved and free ones are none."""
    assert mpeg.read_frame(b"\xff\xfb\x90\x00", 0) == (417, 1152, 44100)
    assert mpeg.read_frame(b"\xff\xf3\x4a\x00", 0) == (145, 576, 16000)
    for header in (
        b"\xff\xeb\x90\x00",
        b"\xff\xfb\x9c\x00",
        b"\xff\xfb\x00\x00",
        b"\xff\xfb\xf0\x00",
        b"\xff\xfd\x90\x00",
    ):
        assert mpeg.read_frame(header, 0) is None
