"""Spectrograms against librosa, which is the truth, on real and made clips; silence, edges, what is refused."""

import numpy as np
import pytest
import soundfile
import tiny_music

from music_featurization.audio import decoding, spectrogram


def from_librosa(path):
    """What DESIGN asks for, in librosa's own words."""
    import librosa

    samples, rate = librosa.load(path, sr=22050)
    samples = np.append(samples[0], samples[1:] - 0.97 * samples[:-1])
    power = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=2048, hop_length=512, n_mels=96, fmax=11025)
    return librosa.power_to_db(power, ref=np.max, top_db=80)


def saved(path):
    """Our spectrogram as it is saved, rounded to float16."""
    return spectrogram.log_mel(decoding.stream(path)).astype(spectrogram.SETTINGS["dtype"]).astype(np.float32)


def assert_near_librosa(path):
    ours, theirs = saved(path), from_librosa(path)
    assert ours.shape == theirs.shape
    above_floor = theirs > -80
    assert above_floor.sum() > 0.2 * theirs.size  # else there is nothing to compare
    assert np.abs(ours - theirs)[above_floor].max() <= 0.1
    assert (ours[~above_floor] <= -79.9).all()
    assert ours.max() == 0 and ours.min() >= -80


@pytest.mark.skipif(not tiny_music.REAL_CLIP.exists(), reason="the real MagnaTagATune clip is not part of the project")
def test_real_clip_is_librosas():
    assert_near_librosa(tiny_music.REAL_CLIP)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000])
def test_every_mp3_sample_rate_is_librosas(tmp_path, rate):
    assert_near_librosa(tiny_music.write_mp3(tmp_path / "clip.mp3", tiny_music.music(3, rate), rate))


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_other_formats_and_channels_are_librosas(tmp_path, ending, channels):
    path = tmp_path / f"clip.{ending}"
    soundfile.write(path, np.stack([tiny_music.music(2, 44100, seed) for seed in range(channels)], axis=1), 44100)
    assert_near_librosa(path)


def test_opus_is_librosas(tmp_path):
    soundfile.write(tmp_path / "clip.opus", tiny_music.music(2, 48000), 48000, format="OGG", subtype="OPUS")
    assert_near_librosa(tmp_path / "clip.opus")


@pytest.mark.parametrize("samples", [2048, 2049, 2559, 2560, 11024, 65536 + 1])
def test_any_length_is_librosas(tmp_path, samples):
    soundfile.write(tmp_path / "clip.wav", tiny_music.music(3, 22050)[:samples], 22050, subtype="FLOAT")
    assert saved(tmp_path / "clip.wav").shape == (96, 1 + samples // 512)
    assert_near_librosa(tmp_path / "clip.wav")


def test_loud_quiet_and_click_are_librosas(tmp_path):
    """60 dB between two halves, a click, and an offset: where single precision could fail first."""
    samples = tiny_music.music(4, 16000)
    samples[32000:] *= 1e-3
    samples[50000] += 0.5
    soundfile.write(tmp_path / "clip.wav", samples + 0.1, 16000, subtype="FLOAT")
    assert_near_librosa(tmp_path / "clip.wav")


@pytest.mark.parametrize("block", [1, 511, 512, 1000, 4096, 10**9])
def test_blocks_do_not_matter(block):
    samples = tiny_music.music(0.6, 22050)
    whole = spectrogram.mel_power([samples])
    blocks = [samples[start : start + block] for start in range(0, len(samples), block)]
    np.testing.assert_allclose(spectrogram.mel_power(blocks), whole, rtol=1e-3, atol=1e-9)


def test_settings_are_librosas_filters_and_window():
    import librosa

    mel = librosa.filters.mel(sr=22050, n_fft=2048, n_mels=96, fmax=11025)
    np.testing.assert_allclose(spectrogram.mel_filters(), mel, atol=1e-7)
    np.testing.assert_allclose(
        spectrogram.hann_window(), librosa.filters.get_window("hann", 2048, fftbins=True), atol=1e-7
    )


def test_digital_silence_is_the_floor_everywhere():
    log_mel = spectrogram.log_mel([np.zeros(22050, np.float32)])
    assert log_mel.shape == (96, 44) and (log_mel == -80).all()


def test_silence_after_music_is_the_floor():
    log_mel = spectrogram.log_mel([tiny_music.music(1, 22050), np.zeros(22050, np.float32)])
    assert (log_mel[:, 50:] == -80).all() and log_mel[:, :40].max() == 0


@pytest.mark.parametrize("count", [1, 512, 2047])
def test_less_than_one_window_is_refused(count):
    with pytest.raises(decoding.UnreadableAudioError, match="shorter than one window: 2048 samples"):
        spectrogram.log_mel([tiny_music.music(1, 22050)[:count]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_no_sound_are_refused(value, recwarn):
    samples = tiny_music.music(1, 22050)
    samples[7000] = value
    with pytest.raises(decoding.UnreadableAudioError, match="not finite"):
        spectrogram.log_mel([samples])
    assert not recwarn.list


def test_memory_does_not_grow_with_the_recording(tmp_path):
    """Ten minutes of stereo are 106 MB of samples; their spectrogram is 10 MB."""
    import tracemalloc

    soundfile.write(tmp_path / "long.wav", np.tile(tiny_music.music(10, 22050)[:, None], (60, 2)), 22050)
    tracemalloc.start()
    try:
        shape = spectrogram.log_mel(decoding.stream(tmp_path / "long.wav")).shape
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert shape == (96, 1 + 600 * 22050 // 512)
    assert peak < 60e6
