"""How much memory decoding takes, for each audio format: one process per format, ten minutes of stereo at 44,100 Hz.

    python3 extras/benchmarks/format_memory.py

Prints a table and writes results/format_memory.json beside itself: the peak resident memory of the process, with its
libraries. Needs Linux.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import soundfile

RESULT = Path(__file__).parent / "results" / "format_memory.json"
MINUTES, RATE = 10, 44100
FFMPEG = {"m4a": "aac", "aac": "aac", "wma": "wmav2", "mp2": "mp2"}  # codec of what soundfile cannot write
SOUNDFILE = ("wav", "flac", "ogg", "mp3", "aiff", "w64", "au", "caf")
PROCESS = """
import sys
from music_featurization.audio import decoding
samples = sum(map(len, decoding.stream(sys.argv[1])))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(samples / decoding.SAMPLE_RATE, int(status["VmHWM"].split()[0]) * 1024 / 1e6)
"""


def write(path: Path) -> None:
    """Write ten minutes of noise in the format of the file's ending, piece by piece."""
    noise = (0.1 * np.random.default_rng(0).standard_normal((2, 10 * RATE))).astype(np.float32)
    codec = FFMPEG.get(path.suffix[1:])
    if codec is None:
        with soundfile.SoundFile(path, "w", RATE, 2) as file:
            for _ in range(6 * MINUTES):
                file.write(noise.T)
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="stereo")
        stream.bit_rate = 128_000
        resampler = av.AudioResampler(stream.format, "stereo", RATE, frame_size=stream.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
        frame.sample_rate = RATE
        for piece in [*[frame] * (6 * MINUTES), None]:
            frame.pts = None
            for part in resampler.resample(piece):
                container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def measure(path: Path) -> tuple[float, float]:
    """Decode in a process of its own; return the seconds decoded and the peak memory in MB."""
    process = subprocess.run([sys.executable, "-c", PROCESS, str(path)], capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, process.stdout.split())
    return seconds, megabytes


def main() -> None:
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        for ending in (*SOUNDFILE, *FFMPEG):
            path = Path(scratch) / f"noise.{ending}"
            write(path)
            seconds, megabytes = measure(path)
            rows[ending] = {"MB": round(megabytes, 1), "seconds decoded": round(seconds, 1)}
            print(f"{ending:5} {rows[ending]['MB']:6.1f} MB   {seconds:.1f} s decoded", flush=True)
            path.unlink()
    RESULT.write_text(json.dumps({"minutes": MINUTES, "rate": RATE, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
