"""Compare our spectrograms with librosa's, on real and made clips; test silence, edges and what is refused."""

import numpy as np
import pytest
import soundfile
import tiny_music

from music_featurization.audio import decoding, spectrogram


def saved(path):
    """Return our spectrogram as it is saved, rounded to float16."""
    return spectrogram.log_mel(decoding.stream(path)).astype(spectrogram.SETTINGS["dtype"]).astype(np.float32)


def assert_near_librosa(path):
    ours, theirs = spectrogram.log_mel(decoding.stream(path)), tiny_music.log_mel_of_librosa(path)
    assert ours.shape == theirs.shape and theirs.max() > 3
    assert np.abs(ours - theirs).max() <= 0.01
    assert np.abs(saved(path) - theirs).max() <= 0.01 + theirs.max() * 2**-11
    assert ours.min() >= 0


@pytest.mark.skipif(not tiny_music.REAL_CLIP.exists(), reason="the real MagnaTagATune clip is not part of the project")
def test_real_clip_is_librosas():
    assert_near_librosa(tiny_music.REAL_CLIP)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000])
def test_every_mp3_sample_rate_is_librosas(tmp_path, rate):
    assert_near_librosa(tiny_music.write_mp3(tmp_path / "clip.mp3", tiny_music.music(3, rate), rate))


@pytest.mark.parametrize("subtype", ["WAV PCM_16", "WAV DOUBLE", "FLAC PCM_24", "OGG VORBIS", "OGG OPUS"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_other_formats_and_channels_are_librosas(tmp_path, subtype, channels):
    samples = np.stack([tiny_music.music(2, 48000, seed) for seed in range(channels)], axis=1)
    soundfile.write(tmp_path / "clip", samples, 48000, **dict(zip(("format", "subtype"), subtype.split(), strict=True)))
    assert_near_librosa(tmp_path / "clip")


@pytest.mark.parametrize("samples", [512, 513, 767, 768, 11024, 65536 + 1])
def test_any_length_is_librosas(tmp_path, samples):
    soundfile.write(tmp_path / "clip.wav", tiny_music.music(5, 16000)[:samples], 16000, subtype="FLOAT")
    assert saved(tmp_path / "clip.wav").shape == (96, 1 + samples // 256)
    assert_near_librosa(tmp_path / "clip.wav")


def test_loud_quiet_and_click_are_librosas(tmp_path):
    """60 dB between two halves, a click, and an offset: where single precision could fail first."""
    samples = tiny_music.music(4, 16000)
    samples[32000:] *= 1e-3
    samples[50000] += 0.5
    soundfile.write(tmp_path / "clip.wav", samples + 0.1, 16000, subtype="FLOAT")
    assert_near_librosa(tmp_path / "clip.wav")


@pytest.mark.parametrize("gain", [1e-4, 1e-2, 1, 30])
def test_the_recording_level_drops_out(gain):
    samples = tiny_music.music(1)
    np.testing.assert_allclose(spectrogram.log_mel([samples * gain]), spectrogram.log_mel([samples]), atol=1e-3)


@pytest.mark.parametrize("block", [1, 255, 256, 1000, 4096, 10**9])
def test_blocks_do_not_matter(block):
    samples = tiny_music.music(0.6, 16000)
    blocks = [samples[start : start + block] for start in range(0, len(samples), block)]
    np.testing.assert_allclose(spectrogram.log_mel(blocks), spectrogram.log_mel([samples]), atol=1e-4)


@pytest.mark.parametrize("level", [0, 1e-20, 1e-30])
def test_digital_silence_is_zero_everywhere(level):
    log_mel = spectrogram.log_mel([np.full(16000, level, np.float32)])
    assert log_mel.shape == (96, 63) and (log_mel == 0).all()


def test_silence_after_music_is_zero():
    log_mel = spectrogram.log_mel([tiny_music.music(1), np.zeros(16000, np.float32)])
    assert (log_mel[:, 64:] == 0).all() and log_mel[:, :60].max() > 3


@pytest.mark.parametrize("count", [1, 256, 511])
def test_less_than_one_window_is_refused(count):
    with pytest.raises(decoding.UnreadableAudioError, match="shorter than one window: 512 samples"):
        spectrogram.log_mel([tiny_music.music(1)[:count]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_no_sound_are_refused(value, recwarn):
    samples = tiny_music.music(1)
    samples[7000] = value
    with pytest.raises(decoding.UnreadableAudioError, match="not finite"):
        spectrogram.log_mel([samples])
    assert not recwarn.list


def test_memory_does_not_grow_with_the_samples(tmp_path):
    """Ten minutes of stereo are 154 MB of samples as decoded; their mel power is 14 MB."""
    import tracemalloc

    soundfile.write(tmp_path / "long.wav", np.tile(tiny_music.music(10, 32000)[:, None], (60, 2)), 32000)
    tracemalloc.start()
    try:
        shape = spectrogram.log_mel(decoding.stream(tmp_path / "long.wav")).shape
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert shape == (96, 1 + 600 * 16000 // 256)
    assert peak < 70e6
