"""Which recordings are read whole, which are refused or used in part, and what hostile ones cost."""

import gzip
import io
import os
import random
import re
import resource
import struct
import time
import zlib

import av
import librosa
import numpy as np
import odd_recordings as odd
import pytest
import soundfile
import soxr
import tiny_music
from odd_recordings import APE, ID3V1, ID3V2, LYRICS3, encoded, mp3, patched, without_header, written

from music_featurization.audio import decoding, structure

BIGGEST = {"FFFFFFFF": 0xFFFFFFFF, "7FFFF000": 0x7FFFF000, "7FFFFFFF": 0x7FFFFFFF, "80000000": 0x80000000, "0": 0}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}


def read(path, **options):
    """Samples, and notes."""
    notes = []
    blocks = list(decoding.stream(path, on_note=notes.append, **options))
    assert all(block.dtype == np.float32 and block.ndim == 1 for block in blocks)
    return np.concatenate(blocks), notes


def assert_whole(path, expected, tolerance=2e-5):
    for strict in (True, False):
        samples, notes = read(path, strict=strict)
        assert notes == [] and len(samples) == len(expected)
        np.testing.assert_allclose(samples, expected, atol=tolerance)


def reason(path, **options):
    with pytest.raises(decoding.UnreadableAudioError) as refused:
        read(path, **options)
    assert "\n" not in str(refused.value) and str(path) not in str(refused.value)
    return str(refused.value)


def resampled(samples, rate):
    length = int(np.ceil(len(samples) * 16000 / rate))
    return librosa.util.fix_length(soxr.resample(samples, rate, 16000, "HQ") if rate != 16000 else samples, size=length)


def by_ffmpeg(path):
    """All that FFmpeg decodes of a file, passing over errors as its command line does."""
    segments = []
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                samples = frame.to_ndarray()
                samples = samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T
                scale = 1 if samples.dtype.kind == "f" else 2.0 ** (1 - 8 * samples.dtype.itemsize)
                if not segments or segments[-1][0] != frame.sample_rate:
                    segments.append((frame.sample_rate, []))
                segments[-1][1].append((samples * scale).mean(axis=0))
    return np.concatenate([resampled(np.concatenate(parts), rate) for rate, parts in segments])


def wav(offset, form, value, mark=b"data"):
    return patched(written("WAV", "PCM_16"), mark, offset, form, value)


def aiff(mark, offset, value):
    return patched(written("AIFF", "PCM_16"), mark, offset, ">I", value)


def wave64(size):
    data = written("W64", "PCM_16")
    return patched(data, data[80:96], 16, "<Q", size)


def junk(seed):
    return random.Random(seed).randbytes(4000)


SUBTYPES = ("PCM_24", "PCM_32", "DOUBLE", "PCM_U8", "ULAW", "ALAW")
# The tune itself is the truth: what the encoding costs is the tolerance.
LOSSLESS = {
    **{f"odd {name}.wav": lambda name=name: written("WAV", name) for name in SUBTYPES},
    "odd wavex.wav": lambda: written("WAVEX", "PCM_24"),
    "riff size of the file.wav": lambda: wav(4, "<I", len(written("WAV", "PCM_16")), b"RIFF"),
    "riff size 0.wav": lambda: wav(4, "<I", 0, b"RIFF"),
    **{f"data size {name}.wav": lambda size=size: wav(4, "<I", size) for name, size in BIGGEST.items()},
    "data size of the file.wav": lambda: wav(4, "<I", len(written("WAV", "PCM_16"))),
    "byte rate 0.wav": lambda: wav(16, "<I", 0, b"fmt "),
    "block align 0.wav": lambda: wav(20, "<H", 0, b"fmt "),
    "list before.wav": lambda: written("WAV")[:12] + odd.list_chunk() + written("WAV")[12:],
    "list after.wav": lambda: written("WAV") + odd.list_chunk(),
    "second data chunk.wav": lambda: written("WAV") + b"data" + struct.pack("<I", 88200) + bytes(88200),
    "trailing bytes.wav": lambda: written("WAV") + junk(0),
    "id3v2 before.wav": lambda: ID3V2 + written("WAV"),
    "big endian.wav": lambda: written("WAV", endian="BIG"),
    "ok.rf64": lambda: written("RF64"),
    "real size.rf64": lambda: patched(written("RF64"), b"data", 4, "<I", 132299 * 2),
    "ok.w64": lambda: written("W64"),
    "size unknown.w64": lambda: wave64(2**63 - 1),
    "trailing bytes.w64": lambda: written("W64") + junk(0),
    "ok.aiff": lambda: written("AIFF"),
    **{f"ssnd {name}.aif": lambda size=size: aiff(b"SSND", 4, size) for name, size in BIGGEST.items()},
    **{f"form {name}.aif": lambda size=size: aiff(b"FORM", 4, size) for name, size in BIGGEST.items()},
    "float.aifc": lambda: written("AIFF", "FLOAT"),
    "little endian.aifc": lambda: written("AIFF", "PCM_16", endian="LITTLE"),
    "size unknown.au": lambda: patched(written("AU"), b".snd", 8, ">I", 0xFFFFFFFF),
    "little endian.au": lambda: written("AU", "PCM_16", endian="LITTLE"),
    "ok.caf": lambda: written("CAF"),
    "size unknown.caf": lambda: patched(written("CAF"), b"data", 4, ">q", -1),
    "alac.caf": lambda: written("CAF", "ALAC_16"),
    "ok.flac": lambda: written("FLAC"),
    "length unknown.flac": lambda: odd.flac_of_unknown_length(written("FLAC")),
    "length unknown, tags.flac": lambda: ID3V2 + odd.flac_of_unknown_length(written("FLAC")) + ID3V1,
    "random bytes after.flac": lambda: written("FLAC") + junk(1),
    "picture.flac": lambda: written("FLAC")[:42] + b"\6\0\x9c\x40" + bytes(40000) + written("FLAC")[42:],
    "other checksum.flac": lambda: written("FLAC")[:26] + bytes(range(16)) + written("FLAC")[42:],
    "ffmpeg's.flac": lambda: encoded("flac", "flac", 1),
    "flac.oga": lambda: encoded("ogg", "flac", 1),
    "alac.m4a": lambda: encoded("ipod", "alac", 1),
    "flac.mka": lambda: encoded("matroska", "flac", 1),
    "wavpack.wv": lambda: encoded("wv", "wavpack", 1),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_recording_is_read_whole(tmp_path, name):
    (tmp_path / name).write_bytes(LOSSLESS[name]())
    coarse = {"wavpack.wv": 0.01, "odd PCM_U8.wav": 0.01, "odd ULAW.wav": 0.02, "odd ALAW.wav": 0.02}
    assert_whole(tmp_path / name, resampled(odd.tune()[:, 0], odd.RATE), coarse.get(name, 1e-4))


def id3v2(body):
    size = len(body)
    return b"ID3\3\0\0" + bytes([size >> 21, size >> 14 & 127, size >> 7 & 127, size & 127]) + body


def xing(data, value):
    mark = b"Xing" if b"Xing" in data[:64] else b"Info"
    (count,) = struct.unpack_from(">I", data, data.index(mark) + 8)
    return patched(data, mark, 8, ">I", count + 1 if value is None else value)


# FFmpeg is the truth.
LOSSY = {
    "cbr.mp3": lambda: mp3(),
    "vbr.mp3": lambda: mp3(mode="VARIABLE"),
    "stereo.mp3": lambda: mp3(2),
    "cbr without header.mp3": lambda: without_header(mp3()),
    "vbr without header.mp3": lambda: without_header(mp3(mode="VARIABLE")),
    **{f"{rate} Hz.mp3": lambda rate=rate: mp3(2, rate) for rate in (8000, 11025, 12000, 16000, 22050, 24000, 48000)},
    "count 0.mp3": lambda: xing(mp3(mode="VARIABLE"), 0),
    "counts itself.mp3": lambda: xing(mp3(), None),
    "vbr counts itself.mp3": lambda: xing(mp3(mode="VARIABLE"), None),
    "joined.mp3": lambda: mp3() + mp3(mode="VARIABLE") + mp3(),
    "joined without header.mp3": lambda: without_header(mp3()) + without_header(mp3()),
    "joined, other rate.mp3": lambda: mp3() + mp3(rate=22050),
    "joined, other channels.mp3": lambda: mp3(1) + mp3(2),
    "id3v2 in the middle.mp3": lambda: mp3() + ID3V2 + mp3(),
    "all tags.mp3": lambda: ID3V2 + mp3() + APE + LYRICS3 + ID3V1,
    "two tags, of sync bytes.mp3": lambda: ID3V2 + id3v2(b"\xff\xfb\x90\x64" * 75000) + mp3(),
    "layer 2.mp2": lambda: encoded("mp2", "mp2"),
    "mp3 in wav.wav": lambda: encoded("wav", "libmp3lame"),
    "aac.m4a": lambda: encoded("ipod", "aac"),
    "m4a named.mp3": lambda: encoded("ipod", "aac"),
    "aac named.mp3": lambda: encoded("adts", "aac"),
    "fragments.m4a": lambda: encoded("mp4", "aac", options=FRAGMENTED),
    "tags.aac": lambda: ID3V2 + encoded("adts", "aac") + ID3V1,
    "random bytes after.aac": lambda: encoded("adts", "aac") + junk(2),
    "ok.wma": lambda: encoded("asf", "wmav2"),
    "vorbis.ogg": lambda: written("OGG", "VORBIS", 2),
    "random bytes after.ogg": lambda: written("OGG", "VORBIS") + junk(3),
    "pre-skip.opus": lambda: encoded("ogg", "libopus", rate=48000),
    "opus.webm": lambda: encoded("webm", "libopus", rate=48000),
    "of unknown length.webm": lambda: encoded("webm", "libopus", rate=48000, options={"live": "1"}),
    "chained.ogg": lambda: written("OGG", "VORBIS") * 2,
    "chained.opus": lambda: written("OGG", "OPUS", rate=48000) * 2,
    "chained flac.oga": lambda: encoded("ogg", "flac") * 2,
}


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_recording_is_read_whole(tmp_path, name):
    (tmp_path / name).write_bytes(LOSSY[name]())
    expected = by_ffmpeg(tmp_path / name)
    assert len(expected) >= 47500
    # The two decoders of Opus and MPEG layer 2 differ more than those of mp3.
    assert_whole(tmp_path / name, expected, 1e-3 if name.endswith(("opus", "mp2")) else 2e-5)


def test_index_at_the_beginning_of_m4a(tmp_path):
    content = encoded("mp4", "aac", options={"movflags": "faststart"}, path=tmp_path / "clip.mp4")
    assert_whole(tmp_path / "clip.mp4", by_ffmpeg(tmp_path / "clip.mp4"))
    (tmp_path / "clip.mp4").write_bytes(content[:-1000])
    assert reason(tmp_path / "clip.mp4").startswith("truncated: 1000 of ")
    assert read(tmp_path / "clip.mp4", strict=False)[1]


OTHER_STREAMS = {
    "channels": lambda: written("OGG", "VORBIS", 2),
    "rate": lambda: written("OGG", "VORBIS", rate=22050),
    "codec": lambda: written("OGG", "OPUS", rate=48000),
}


@pytest.mark.parametrize("what", OTHER_STREAMS)
def test_chained_ogg_of_streams_that_differ(tmp_path, what):
    """FFmpeg through PyAV gives the first stream only."""
    parts = [written("OGG", "VORBIS"), OTHER_STREAMS[what]()]
    decoded = [soundfile.read(io.BytesIO(part), always_2d=True) for part in parts]
    (first, rate), (second, other_rate) = [(samples.mean(axis=1), rate) for samples, rate in decoded]
    if rate == other_rate:
        expected = resampled(np.concatenate([first, second]), rate)
    else:
        expected = np.concatenate([resampled(first, rate), resampled(second, other_rate)])
    (tmp_path / "clip.ogg").write_bytes(b"".join(parts))
    assert_whole(tmp_path / "clip.ogg", expected)
    (tmp_path / "clip.ogg").write_bytes(b"".join(parts)[:-100])
    assert reason(tmp_path / "clip.ogg") == "truncated: part of the last page is missing"
    assert read(tmp_path / "clip.ogg", strict=False)[1] == ["ends early: part of the last page is missing"]


# librosa is the truth: FFmpeg does not remove the encoder's padding from these.
WITHOUT_PADDING = {
    **{f"random bytes {seed} after": lambda seed=seed: mp3(rate=16000) + junk(seed) for seed in range(3)},
    "tags before": lambda: APE + mp3() + ID3V2,
    "headers of HTTP": lambda: b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n" + mp3(),
    "tag between frames": lambda: without_header(mp3()) + ID3V2 + without_header(mp3()),
}


@pytest.mark.parametrize("kind", WITHOUT_PADDING)
def test_mp3_is_read_as_by_librosa(tmp_path, kind):
    (tmp_path / "clip.mp3").write_bytes(WITHOUT_PADDING[kind]())
    assert_whole(tmp_path / "clip.mp3", librosa.load(tmp_path / "clip.mp3", sr=16000, res_type="soxr_hq")[0])


@pytest.mark.parametrize("rate", [4000, 8000, 16000, 22050, 44100, 96000])
def test_samples_are_librosas(tmp_path, rate):
    soundfile.write(tmp_path / "clip.wav", odd.tune(2, rate), rate)
    assert_whole(tmp_path / "clip.wav", librosa.load(tmp_path / "clip.wav", sr=16000, res_type="soxr_hq")[0], 2e-6)


def test_long_recording_is_the_same_in_parts(tmp_path, monkeypatch):
    (tmp_path / "clip.mp3").write_bytes(mp3())
    whole, _ = read(tmp_path / "clip.mp3")
    monkeypatch.setattr(decoding, "BLOCK", 5000)
    monkeypatch.setattr(decoding, "CHUNK", 1234)
    np.testing.assert_allclose(read(tmp_path / "clip.mp3")[0], whole, atol=1e-5)


@pytest.mark.skipif(not tiny_music.REAL_CLIP.exists(), reason="needs the clip of MagnaTagATune")
def test_real_clip_is_the_same_by_both_decoders():
    samples, _ = read(tiny_music.REAL_CLIP)
    assert len(samples) == 465984
    np.testing.assert_allclose(samples, by_ffmpeg(tiny_music.REAL_CLIP), atol=2e-6)


CUT = {
    **{f"{name}.{ending}": lambda name=name, subtype=subtype: written(name, subtype, 2)
       for name, subtype, ending in (
           ("WAV", "PCM_16", "wav"), ("WAV", "PCM_24", "wav"), ("WAV", "ULAW", "wav"), ("WAV", "IMA_ADPCM", "wav"),
           ("WAVEX", "PCM_16", "wav"), ("RF64", "PCM_16", "wav"), ("W64", "PCM_16", "w64"), ("AIFF", "PCM_16", "aiff"),
           ("AIFF", "FLOAT", "aifc"), ("AU", "PCM_16", "au"), ("CAF", "PCM_16", "caf"), ("CAF", "ALAC_16", "caf"),
           ("FLAC", "PCM_16", "flac"), ("FLAC", "PCM_24", "flac"), ("OGG", "VORBIS", "ogg"))},
    "little endian.au": lambda: written("AU", "PCM_16", endian="LITTLE"),
    "big endian.wav": lambda: written("WAV", "PCM_16", endian="BIG"),
    "id3v2.flac": lambda: ID3V2 + written("FLAC"),
    "opus.opus": lambda: written("OGG", "OPUS", rate=48000),
    "length unknown.flac": lambda: odd.flac_of_unknown_length(written("FLAC")),
    "flac.oga": lambda: encoded("ogg", "flac"),
    "chained.ogg": lambda: written("OGG", "VORBIS") * 2,
    "info.mp3": lambda: mp3(),
    "xing.mp3": lambda: mp3(mode="VARIABLE"),
    "no header.mp3": lambda: without_header(mp3()),
    "layer 2.mp2": lambda: encoded("mp2", "mp2"),
    "mp3 in wav.wav": lambda: encoded("wav", "libmp3lame"),
    "adts.aac": lambda: encoded("adts", "aac"),
    "fragments.m4a": lambda: encoded("mp4", "aac", options=FRAGMENTED),
    "ok.wma": lambda: encoded("asf", "wmav2"),
    "wavpack.wv": lambda: encoded("wv", "wavpack"),
    "opus.webm": lambda: encoded("webm", "libopus", rate=48000),
    "video.mkv": lambda: odd.video("matroska"),
}  # fmt: skip


@pytest.mark.parametrize("share", [0.45, 0.7])
@pytest.mark.parametrize("name", CUT)
def test_end_that_is_missing(tmp_path, name, share):
    """Strict refuses it; otherwise all is used that FFmpeg or librosa decodes, with a note."""
    content = CUT[name]()
    (tmp_path / name).write_bytes(content)
    whole = len(read(tmp_path / name)[0])
    (tmp_path / name).write_bytes(content[: round(len(content) * share) | 1])
    assert reason(tmp_path / name).startswith("truncated: ")
    samples, notes = read(tmp_path / name, strict=False)
    assert len(notes) == 1 and notes[0].startswith("ends early: ")
    assert (share - 0.35) * whole < len(samples) < (share + 0.1) * whole  # a page of Ogg contains up to a second


@pytest.mark.parametrize("name", [name for name in CUT if name.endswith(("wav", "w64", "aiff", "aifc", "au", "flac"))])
def test_last_ten_bytes_are_missing(tmp_path, name):
    (tmp_path / name).write_bytes(CUT[name]()[:-11])
    assert reason(tmp_path / name).startswith("truncated: ")
    assert read(tmp_path / name, strict=False)[1][0].startswith("ends early: ")


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("lost", [1, 2, 50])
def test_mp3_cut_between_frames(tmp_path, mode, lost):
    """Only the header says that frames are missing."""
    data, path = mp3(rate=16000, mode=mode), tmp_path / "clip.mp3"
    path.write_bytes(data)
    with open(path, "rb") as file:
        frames = list(structure._units(structure.Part(file, 0, len(data)), structure._FRAME_SYNC, structure._frame))
    path.write_bytes(data[: frames[-lost][0]])
    assert reason(path) == f"truncated: {lost} of {len(frames) - 1} frames are missing"


def test_vbri_header(tmp_path):
    data = without_header(mp3(rate=16000))
    length = structure._parse_header(data[:6]).length
    vbri = data[:4] + bytes(32) + b"VBRI" + struct.pack(">HHHII", 1, 0, 0, len(data), len(data) // length)
    whole = vbri.ljust(length, b"\0") + data
    (tmp_path / "clip.mp3").write_bytes(whole)
    assert abs(len(read(tmp_path / "clip.mp3")[0]) - len(by_ffmpeg(tmp_path / "clip.mp3"))) <= 576
    (tmp_path / "clip.mp3").write_bytes(whole[: 20 * length])
    assert reason(tmp_path / "clip.mp3").startswith("truncated")


def test_note_says_how_much_is_there(tmp_path):
    (tmp_path / "clip.wav").write_bytes(written("WAV")[: 44 + 2 * 44100])
    samples, notes = read(tmp_path / "clip.wav", strict=False)
    assert notes == ["ends early: 1.0 of 3.0 s"] and len(samples) == 16000


def test_mp3_that_lost_its_end_before_a_tag(tmp_path):
    (tmp_path / "clip.mp3").write_bytes(without_header(mp3())[:-200] + ID3V1)
    lost = "200 of the last frame's 522 bytes are missing"
    assert reason(tmp_path / "clip.mp3") == f"truncated: {lost}"
    assert read(tmp_path / "clip.mp3", strict=False)[1] == [f"ends early: {lost}"]


def test_damage_in_the_middle_of_flac(tmp_path):
    data = bytearray(written("FLAC"))
    data[len(data) // 2] ^= 255
    (tmp_path / "clip.flac").write_bytes(data)
    assert reason(tmp_path / "clip.flac").startswith("damaged: 2.9 of 3.0 s")
    samples, notes = read(tmp_path / "clip.flac", strict=False)
    assert len(samples) > 46000 and notes == ["damaged: 2.9 of 3.0 s can be decoded"]


# Formats that do not say how long they are, and Ogg, whose decoder repeats what follows a gap if it is made to seek.
WITH_A_GAP = {
    "aac.m4a": lambda: encoded("ipod", "aac"),
    "alac.m4a": lambda: encoded("ipod", "alac"),
    "alac.caf": lambda: encoded("caf", "alac"),
    "flac.wav": lambda: encoded("wav", "flac"),
    "ok.wma": lambda: encoded("asf", "wmav2"),
    "adts.aac": lambda: encoded("adts", "aac"),
    "no header.mp3": lambda: without_header(mp3()),
    "long.ogg": lambda: written("OGG", "VORBIS", seconds=6),
    "video.mkv": lambda: odd.video("matroska"),
}


def test_zeros_between_fragments(tmp_path):
    """A demuxer takes them for the end."""
    content = encoded("mp4", "aac", options=FRAGMENTED)
    begin, length = len(content) * 2 // 5, len(content) // 3
    (tmp_path / "a.m4a").write_bytes(content[:begin] + bytes(length) + content[begin + length :])
    assert reason(tmp_path / "a.m4a").startswith("truncated: ")
    assert re.match(r"ends early: 1\.\d of \d\.\d s", read(tmp_path / "a.m4a", strict=False)[1][0])
    (tmp_path / "a.m4a").write_bytes(content + bytes(5000))
    assert_whole(tmp_path / "a.m4a", by_ffmpeg(tmp_path / "a.m4a"))


@pytest.mark.parametrize("name", WITH_A_GAP)
def test_zeros_in_the_middle(tmp_path, name, monkeypatch):
    """As in a download in parts that was not finished."""
    content = WITH_A_GAP[name]()
    begin, length = len(content) * 2 // 5, len(content) // 3
    (tmp_path / name).write_bytes(content[:begin] + bytes(length) + content[begin + length :])
    assert reason(tmp_path / name).startswith("damaged: ")
    samples, notes = read(tmp_path / name, strict=False)
    assert 0.4 < len(samples) / (16000 * float(notes[0].split()[3])) < 0.8
    assert notes == [f"damaged: {len(samples) / 16000:.1f} of {notes[0].split()[3]} s can be decoded"]
    monkeypatch.setattr(decoding, "BLOCK", 50_000)
    np.testing.assert_allclose(read(tmp_path / name, strict=False)[0], samples, atol=1e-5)


NO_AUDIO = {
    "text": b"this is no music " * 500,
    "HTML": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "zeros": bytes(10000),
    "part of a header": written("WAV")[:30],
    "a sync word": b"\xff\xfb\x90",
    "gzip": gzip.compress(mp3()),
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF" + junk(4),
    "PDF": b"%PDF-1.4\n" + junk(5),
    "MIDI": b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk" + bytes(50),
    "Flash video": encoded("flv", "aac"),
}


@pytest.mark.parametrize("kind", NO_AUDIO)
def test_no_audio_file(tmp_path, kind):
    (tmp_path / "clip.mp3").write_bytes(NO_AUDIO[kind])
    assert reason(tmp_path / "clip.mp3", strict=False) == "not readable as audio"


@pytest.mark.parametrize("video", [("mp4",), ("matroska",), ("matroska", 150)])
def test_video_with_sound(tmp_path, video):
    """The sound is used, also where the pictures last longer."""
    (tmp_path / "clip.m4a").write_bytes(odd.video(*video))
    assert_whole(tmp_path / "clip.m4a", by_ffmpeg(tmp_path / "clip.m4a"))


def test_nothing_in_it(tmp_path):
    (tmp_path / "empty.mp3").touch()
    assert reason(tmp_path / "empty.mp3") == "empty file"
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    assert reason(tmp_path / "none.wav") == "no audio in it"


def test_file_that_changes_while_it_is_read(tmp_path):
    (tmp_path / "clip.wav").write_bytes(written("WAV"))
    blocks = decoding.stream(tmp_path / "clip.wav")
    next(blocks)
    with open(tmp_path / "clip.wav", "ab") as file:
        file.write(b"more")
    with pytest.raises(decoding.UnreadableAudioError, match="it changed while it was read"):
        list(blocks)


def test_longer_than_allowed(tmp_path):
    (tmp_path / "clip.wav").write_bytes(written("WAV"))
    assert reason(tmp_path / "clip.wav", max_seconds=1.8) == "longer than 0.03 minutes: cut it into clips first"
    samples, notes = read(tmp_path / "clip.wav", strict=False, max_seconds=1.8)
    assert len(samples) == 28800 and notes == ["longer than 0.03 minutes: cut it into clips first"]


def test_name_that_is_not_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp3")
    with open(path, "wb") as file:
        file.write(mp3(rate=16000))
    assert len(read(path)[0]) == 47999


def test_what_is_no_file(tmp_path):
    (tmp_path / "folder.mp3").mkdir()
    os.mkfifo(tmp_path / "fifo.mp3")
    (tmp_path / "device.mp3").symlink_to("/dev/zero")
    (tmp_path / "nowhere.mp3").symlink_to(tmp_path / "gone")
    for name in ("folder.mp3", "fifo.mp3", "device.mp3"):
        assert reason(tmp_path / name) == "not a regular file"
    with pytest.raises(FileNotFoundError, match="No such file"):
        read(tmp_path / "nowhere.mp3")


PLAYLISTS = {
    "hls.mp3": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{}\n#EXT-X-ENDLIST\n",
    "concat.mp3": "ffconcat version 1.0\nfile '{}'\n",
    "list.m3u": "#EXTM3U\n{}\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_no_other_file_is_opened(tmp_path, name):
    (tmp_path / "clip.wav").write_bytes(written("WAV"))
    (tmp_path / name).write_text(PLAYLISTS[name].format(tmp_path / "clip.wav"))
    assert reason(tmp_path / name, strict=False) == "not readable as audio"


def cover(side=8000):
    """An ID3v2 tag with a picture of 0.2 MB that takes 250 MB to decode."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(4 * side + 1) * side))
    body = b"\0image/png\0\3\0" + picture + chunk(b"IEND", b"")
    return id3v2(b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body)


FRAMES = without_header(mp3(rate=16000))
HOSTILE = {  # content, and the seconds that are in it or the beginning of the reason
    "ones.mp3": (lambda: b"\xff" * 20_000_000, "not readable"),
    "ones.wav": (lambda: b"\xff" * 20_000_000, "not readable"),
    "zeros.mp3": (lambda: bytes(20_000_000), "not readable"),
    "ones in the middle.mp3": (lambda: FRAMES + b"\xff" * 20_000_000 + FRAMES, 6.0),
    "false headers.mp3": (lambda: FRAMES + b"\xff\xfb\x90" * 7_000_000, 3.0),
    "cover.mp3": (lambda: cover() + mp3(mode="VARIABLE") * 2, 6.0),
    "empty chunks.wav": (lambda: written("WAV")[:12] + b"JUNK\0\0\0\0" * 1_000_000, "not readable"),
    "empty pages.ogg": (lambda: (b"OggS\0\2" + bytes(21) + b"OggS\0\0" + bytes(21)) * 100_000, "no audio"),
    "1 Hz.wav": (lambda: wav(12, "<I", 1, b"fmt "), "sample rate 1 Hz"),
    "3999 Hz.wav": (lambda: wav(12, "<I", 3999, b"fmt "), "sample rate 3999 Hz"),
    "2 GHz.wav": (lambda: wav(12, "<I", 2**31 - 1, b"fmt "), "sample rate 2147483647 Hz"),
    "65535 channels.wav": (lambda: wav(10, "<H", 65535, b"fmt "), "no audio"),
    "2 G channels.au": (lambda: patched(written("AU"), b".snd", 20, ">I", 2**31), "not readable"),
    "64 channels.wav": (lambda: written("WAV", "PCM_24", 64, 96000, 1), 1.0),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_costs_little(tmp_path, name):
    make, expected = HOSTILE[name]
    (tmp_path / name).write_bytes(make())
    began, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if isinstance(expected, str):
        assert reason(tmp_path / name, strict=False).startswith(expected)
    else:
        assert expected <= len(read(tmp_path / name, strict=False)[0]) / 16000 < expected + 2
    assert time.process_time() - began < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100_000  # kB


def test_large_mp3_needs_little_memory(tmp_path):
    """3 GB, of which the operating system stores the beginning only."""
    with open(tmp_path / "clip.mp3", "wb") as file:
        file.write(FRAMES)
        file.truncate(3_000_000_000)
    began, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(read(tmp_path / "clip.mp3")[0]) / 16000 == pytest.approx(3.0, abs=0.15)
    assert time.process_time() - began < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 50_000
