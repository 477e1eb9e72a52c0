"""Recordings in many formats, as bytes made on the fly, and ways to make them unusual."""

import io
import struct

import av
import numpy as np
import soundfile
import tiny_music

SECONDS, RATE = 3, 44100
ID3V1 = b"TAG" + bytes(125)
ID3V2 = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 100]) + bytes(228)
APE = b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 1 << 31)
LYRICS3 = b"LYRICSBEGIN" + b"la " * 20 + b"000071LYRICS200"


def tune(channels=1, rate=RATE, seconds=SECONDS):
    """Music with an odd number of samples, so that chunks of bytes have odd sizes."""
    count = round(seconds * rate) - 1
    parts = [tiny_music.music(seconds, rate, seed)[:count] for seed in range(channels)]
    return np.stack(parts, axis=1)


def written(format_, subtype=None, channels=1, rate=RATE, seconds=SECONDS, **options):
    """Encode with soundfile."""
    file = io.BytesIO()
    soundfile.write(file, tune(channels, rate, seconds), rate, format=format_, subtype=subtype, **options)
    return file.getvalue()


def encoded(format_, codec, channels=2, rate=RATE, seconds=SECONDS, bit_rate=128_000, options=None, path=None):
    """Encode with FFmpeg; faststart needs a path, because the file is opened again."""
    samples, file = tune(channels, rate, seconds), path or io.BytesIO()
    with av.open(str(file) if path else file, "w", format=format_, options=options or {}) as container:
        layout = "mono" if channels == 1 else "stereo"
        track = container.add_stream(codec, rate=rate, layout=layout, bit_rate=bit_rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.rate, frame.pts = rate, 0
        size, pipe = track.codec_context.frame_size or 1024, av.AudioFifo()
        for part in av.AudioResampler(format=track.format, layout=layout, rate=rate).resample(frame):
            pipe.write(part)
        while (part := pipe.read(size, partial=True)) is not None:
            container.mux(track.encode(part))
        container.mux(track.encode(None))
    return path.read_bytes() if path else file.getvalue()


def mp3(channels=1, rate=RATE, mode="CONSTANT", level=0.5, seconds=SECONDS):
    """Encode with LAME: an Info or Xing frame precedes the audio."""
    options = {"bitrate_mode": mode, "compression_level": level}
    return written("MP3", "MPEG_LAYER_III", channels, rate, seconds, **options)


def without_header(data):
    """Remove the first frame of an mp3: the Xing or Info header."""
    return data[data.index(data[:2], 4) :]


def patched(data, mark, offset, form, value):
    """Overwrite a number at an offset from the first occurrence of `mark`."""
    data, at = bytearray(data), data.index(mark) + offset
    struct.pack_into(form, data, at, value)
    return bytes(data)


def flac_of_unknown_length(data):
    """Set the number of samples and the frame sizes in STREAMINFO to 0, as an encoder does that writes to a pipe."""
    data = bytearray(data)
    data[12:18], data[21], data[22:26] = bytes(6), data[21] & 0xF0, bytes(4)
    return bytes(data)


def list_chunk():
    return b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.29.100\0"


def video(format_="mp4", pictures=75):
    """Encode a video of 3 s, or as many pictures at 25 Hz, with the tune as AAC."""
    file = io.BytesIO()
    with av.open(file, "w", format=format_) as container:
        picture, sound = container.add_stream("mpeg4", rate=25), container.add_stream("aac", rate=48000, layout="mono")
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        for level in range(pictures):
            pixels = np.full((96, 64), level, np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="yuv420p")))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tune(1, 48000).T), format="fltp", layout="mono")
        frame.rate, frame.pts = 48000, 0
        container.mux([*sound.encode(frame), *sound.encode(None), *picture.encode(None)])
    return file.getvalue()
