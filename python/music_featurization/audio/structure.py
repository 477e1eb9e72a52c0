"""Read what an audio file declares about its own length: decoders do not report that the end is missing."""

import functools
import math
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

WINDOW = 1 << 20  # bytes read at a time
LONGEST_UNIT = 1 << 16  # an Ogg page has at most 65,307 bytes
MOST_JUNK = 1 << 26  # bytes that are no frame, after which the file is considered to end
MOST_CHUNKS = 100_000
MOST_STREAMS = 1000  # a day of web radio has some hundreds
MOST_FALSE_STARTS = 100_000  # after that many headers that no frame follows, the file is not worth the time


class Part:
    """Bytes `begin` to `end` of a file, as a file with its own position.

    A seek before the beginning returns -1: the decoders that call it print exceptions to stderr.
    """

    def __init__(self, file: BinaryIO, begin: int, end: int):
        self.file, self.begin, self.size, self.position = file, begin, end - begin, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = offset + (0, self.position, self.size)[whence]
        if position < 0:
            return -1
        self.position = position
        return position

    def tell(self) -> int:
        return self.position

    def read(self, count: int) -> bytes:
        left = max(0, self.size - self.position)
        self.file.seek(self.begin + min(self.position, self.size))
        data = self.file.read(min(count, left))
        self.position += len(data)
        return data

    def is_whole(self) -> bool:
        return self.begin == 0 and self.size == os.fstat(self.file.fileno()).st_size

    def part(self, begin: int, end: int) -> "Part":
        return Part(self.file, self.begin + begin, self.begin + min(end, self.size))


class Declared(NamedTuple):
    """What a file declares, as far as it is known."""

    seconds: float = 0.0  # of audio, 0 if unknown
    missing: str | None = None  # at the end
    share: float = 1.0  # of the bytes of audio, how many are in the file
    # False if libsndfile decodes less than the audio (no more frames than an mp3's header counts) or more (also what
    # follows it in a Wave64).
    libsndfile_suffices: bool = True
    streams: tuple[int, ...] = (0,)  # where the streams of an Ogg file begin that follow each other
    end: int = sys.maxsize  # the byte at which the audio ends and other content may begin


class Frame(NamedTuple):
    """A frame of MPEG audio, or a tag between frames (of 0 seconds): its length in bytes and what it decodes to."""

    length: int
    seconds: float = 0.0
    kind: tuple = ()


class Page(NamedTuple):
    """A page of an Ogg file."""

    length: int
    is_first: bool
    is_last: bool


def after_tags(file: Part) -> Part:
    """Skip the ID3v2 tags before Ogg or chunks, which libsndfile would count as audio."""
    file.seek(0)
    while tag := _id3v2_tag(head := file.read(12)):
        file.seek(tag.length - len(head), os.SEEK_CUR)
    return file.part(file.tell() - len(head), file.size) if _layout(head) else file


def read_declared(file: Part) -> Declared:
    """Read what a file in a chunked format or Ogg declares; nothing is known about other formats."""
    file.seek(0)
    head = file.read(12)
    layout = _layout(head)
    if layout in (_AU, _AU_LITTLE_ENDIAN):
        begin, length = struct.unpack(layout.header, head.ljust(12, b"\0"))
        return _judge_chunk(begin, length, file.size)
    if head[:4] == _MATROSKA:
        return _judge_segment(file)
    return _walk_pages(file) if layout is _OGG else _walk_chunks(file, layout) if layout else Declared()


def _layout(head: bytes) -> "_Layout | None":
    return _MP4 if head[4:8] in _MP4_BEGINNINGS else _LAYOUTS.get(head[:4])


def _units(file: Part, sync: re.Pattern, read: Callable) -> Iterator[tuple[int, Any]]:
    """Yield (position, unit) of the frames or pages of a file, and skip other bytes.

    `read(data, at, previous)` returns the unit at `at` or None. `previous` is the unit that ends there: Frame(0) at
    the beginning of the file, None after other bytes.
    """
    position, after_last, previous, false_starts = 0, 0, Frame(0), 0
    while false_starts < MOST_FALSE_STARTS and position - after_last < MOST_JUNK:
        file.seek(position)
        data = file.read(WINDOW)
        at, at_end = 0, len(data) < WINDOW
        stop = len(data) - (0 if at_end else LONGEST_UNIT)
        while at < stop and false_starts < MOST_FALSE_STARTS:
            previous = read(data, at, previous)
            if previous:
                yield position + at, previous
                at += previous.length
                after_last = position + at
            else:
                match = sync.search(data, at + 1)
                at = match.start() if match else len(data) - (0 if at_end else 4)
                false_starts += 1
        position += at
        if at_end:
            return


# MPEG audio (ISO/IEC 11172-3, 13818-3): kbit/s by bit-rate index, for (MPEG-1 or not, layer).
_LOW_RATES = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_BIT_RATES = {
    (True, 1): range(32, 449, 32),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): _LOW_RATES,
    (False, 3): _LOW_RATES,
}
_ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_FRAME_SYNC = re.compile(rb"\xff[\xe0-\xff][^\xff]")  # the third byte excludes padding with ones


@functools.lru_cache(maxsize=1024)  # the frames of a file have few different headers
def _parse_header(header: bytes) -> Frame | None:
    """Parse the first 6 bytes of a frame; None also for a free-format frame, whose length is unknown."""
    if len(header) < 6 or not _FRAME_SYNC.match(header):
        return None
    version, layer, padding = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3), header[2] >> 1 & 1
    if layer == 4:
        return _parse_adts(header)
    if version == 1 or header[2] >> 4 in (0, 15) or header[2] & 12 == 12:
        return None
    rate = (44100, 48000, 32000)[header[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    bit_rate = 1000 * _BIT_RATES[version == 3, layer][(header[2] >> 4) - 1]
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    slot = 4 if layer == 1 else 1  # bytes
    return Frame((samples // 8 // slot * bit_rate // rate + padding) * slot, samples / rate, (version, layer, rate))


def _parse_adts(header: bytes) -> Frame | None:
    index, length = header[2] >> 2 & 15, (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if header[1] < 0xF0 or index >= len(_ADTS_RATES) or length < 7:
        return None
    return Frame(length, 1024 / _ADTS_RATES[index], ("ADTS", header[2], _ADTS_RATES[index]))


def _frame(data: bytes, at: int, previous: Frame | None) -> Frame | None:
    """See `_units`. A frame that differs from the previous one counts only if another of its kind follows."""
    frame = _parse_header(data[at : at + 6])
    if frame is None:
        return _id3v2_tag(data[at : at + 10])
    if previous and (previous.kind == frame.kind or not previous.kind):
        return frame
    following = _parse_header(data[at + frame.length : at + frame.length + 6])
    return frame if following and following.kind == frame.kind else None


def _id3v2_tag(header: bytes) -> Frame | None:
    if not re.match(rb"ID3.{3}[\x00-\x7f]{4}", header, re.DOTALL):  # 7 bits a byte
        return None
    return Frame(10 + (header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]))


def read_frames(file: Part, libsndfile_frames: int = 0) -> Declared:
    """Read what the frames and the header of an mp3, mp2, mp1 or ADTS (AAC) file declare.

    `libsndfile_frames` is the number of samples that libsndfile announces, a guess if there is no header.
    """
    file.seek(max(0, file.size - 128))
    end = file.size - 128 * (file.read(3) == b"TAG")  # ID3v1
    first, count, seconds, after_last, after_unit, zeros, missing = None, 0, 0.0, 0, 0, 0, None
    for position, frame in _units(file, _FRAME_SYNC, _frame):
        if count and position > after_unit:
            zeros += _zeros(file, after_unit, position)
        after_unit = position + frame.length
        if not frame.kind:
            continue
        if position + frame.length > end:
            missing = f"{position + frame.length - end} of the last frame's {frame.length} bytes are missing"
            break
        first = first or (position, frame)
        count, seconds, after_last = count + 1, seconds + frame.seconds, position + frame.length
    if first is None or (header := _read_count(file, first[0])) is None:
        guess = libsndfile_frames / first[1].kind[2] if first else math.inf
        lost = zeros / (after_last - first[0] - zeros) * seconds if first else 0.0
        suffices = guess >= seconds - 1e-6
        return Declared(seconds + lost, missing, libsndfile_suffices=suffices, end=after_last or sys.maxsize)
    frames, length = header
    lost = frames + 1 - count  # programs differ in whether they count the frame of the header
    if lost > 1 or (lost == 1 and after_last - first[0] < length):
        missing = missing or f"{lost} of {frames} frames are missing"
    seconds = max(seconds - first[1].seconds, frames * first[1].seconds)
    return Declared(seconds, missing, libsndfile_suffices=lost > -2, end=after_last)


def _zeros(file: Part, begin: int, end: int) -> int:
    """Return the number of zeros with which the bytes between two frames begin: there, audio was lost."""
    file.seek(begin)
    data = file.read(min(end - begin, WINDOW))
    rest = data.lstrip(b"\0")
    return len(data) - len(rest) if rest else end - begin


def _read_count(file: Part, position: int) -> tuple[int, int] | None:
    """Read the number of frames and bytes that a Xing, Info or VBRI header in the first frame declares."""
    file.seek(position)
    head = file.read(64).ljust(64, b"\0")
    if head[36:40] == b"VBRI":
        length, frames = struct.unpack_from(">II", head, 46)
        return (frames, length) if frames else None
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if not 0 <= at <= 48:
        return None
    flags, frames, length = struct.unpack_from(">III", head, at + 4)
    return (frames, length if flags & 2 else 0) if flags & 1 and frames else None


def _page(data: bytes, at: int, previous: Page | None) -> Page | None:
    """See `_units`; RFC 3533, section 6."""
    if data[at : at + 4] != b"OggS":
        return None
    if len(data) < at + 27:
        return Page(27, False, False)
    segments = data[at + 26]
    length = 27 + segments + sum(data[at + 27 : at + 27 + segments])
    return Page(length, bool(data[at + 5] & 2), bool(data[at + 5] & 4))


def _walk_pages(file: Part) -> Declared:
    streams, previous_is_first, missing = [0], True, None
    for position, page in _units(file, re.compile(b"OggS"), _page):
        if page.is_first and not previous_is_first and len(streams) < MOST_STREAMS:
            streams.append(position)
        previous_is_first = page.is_first
        cut = position + page.length > file.size
        missing = "part of the last page is missing" if cut else None if page.is_last else "the last page is missing"
    if len(streams) > 1 and len({_stream_header(file, begin) for begin in streams}) == 1:
        return Declared(missing=missing, libsndfile_suffices=False)
    return Declared(missing=missing, streams=tuple(streams))


def _stream_header(file: Part, begin: int) -> bytes:
    """Return the codec, channels and rate in the first packet of Vorbis or Opus; for other codecs a unique value."""
    file.seek(begin + 28)
    header = file.read(16)
    return header if header[1:7] == b"vorbis" or header[:8] == b"OpusHead" else b"%d" % begin


class _Layout(NamedTuple):
    """How a format divides a file into chunks, and the identifier of the chunks that contain audio."""

    start: int
    header: str  # for struct: identifier and size
    audio: bytes
    alignment: int = 1
    size_has_header: bool = False


_OGG = _Layout(0, "", b"OggS")
_MATROSKA, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")  # identifiers of its first two elements
_AU, _AU_LITTLE_ENDIAN = _Layout(0, ">4xII", b""), _Layout(0, "<4xII", b"")
_RIFF = _Layout(12, "<4sI", b"data", alignment=2)
_WAVE64 = _Layout(40, "<16sQ", b"data", alignment=8, size_has_header=True)
_MP4 = _Layout(0, ">I4s", b"mdat", size_has_header=True)
_MP4_BEGINNINGS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _Layout(12, ">4sI", b"data", alignment=2),
    b"FORM": _Layout(12, ">4sI", b"SSND", alignment=2),
    b"caff": _Layout(8, ">4sq", b"data"),
    b"riff": _WAVE64,
    b"OggS": _OGG,
    b".snd": _AU,
    b"dns.": _AU_LITTLE_ENDIAN,
    bytes.fromhex("3026b275"): _Layout(0, "<16sQ", bytes.fromhex("3626b275"), size_has_header=True),  # ASF: WMA
}


def _walk_chunks(file: Part, layout: _Layout) -> Declared:
    """Read the sizes of the chunks that contain audio; a size may be in 64 bits elsewhere (RF64, MP4)."""
    position, size, size_64, declared, has_audio = layout.start, file.size, None, Declared(), False
    for _ in range(MOST_CHUNKS):
        file.seek(position)
        head = file.read(32)
        if len(head) < struct.calcsize(layout.header) or declared.missing:
            break
        fields = struct.unpack_from(layout.header, head)
        name, length = fields if isinstance(fields[0], bytes) else reversed(fields)  # in MP4 the size comes first
        begin = position + struct.calcsize(layout.header)
        if name == b"ds64":
            size_64 = struct.unpack_from("<8xQ", head.ljust(32), 8)[0]
        elif name[:4] == b"mdat" and length == 1:
            length = struct.unpack_from(">Q", head.ljust(32), 8)[0]
        length -= (begin - position) * layout.size_has_header
        if name[:4] == layout.audio:
            if has_audio and layout.alignment == 2:  # a second one in WAV or AIFF, where only one is allowed
                return declared._replace(end=position)
            has_audio = True
            declared = _judge_chunk(begin, size_64 if size_64 and length == 0xFFFFFFFF else length, size)
        if not 0 <= length < size:
            if layout is _MP4 and name == bytes(4) and _occurs(file, b"moof", position):  # a fragment after zeros
                return Declared(0.0, f"{size - position} of {size} bytes cannot be read", position / size)
            break
        if layout is _WAVE64 and name[:4] == b"data":
            declared = declared._replace(libsndfile_suffices=begin + length + layout.alignment > size)
        position = -(-(begin + length) // layout.alignment) * layout.alignment
    return declared


def _occurs(file: Part, mark: bytes, position: int) -> bool:
    """Return whether some bytes occur after a position, not too far away."""
    file.seek(position)
    return any(mark in file.read(WINDOW) for _ in range(MOST_JUNK // WINDOW))


def _judge_segment(file: Part) -> Declared:
    """Return what is missing of the segment of a Matroska file, which contains all streams."""
    file.seek(0)
    head = file.read(4096)
    begin, length = _element(head, 0)
    if head[begin + length : begin + length + 4] != _SEGMENT:
        return Declared()
    return _judge_chunk(*_element(head, begin + length), file.size)


def _element(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of a Matroska element with an identifier of 4 bytes begins, and its length.

    The length is 0 where it is unknown: in a live stream all bits of it are set.
    """
    first = data[at + 4] if at + 4 < len(data) else 0
    width = 9 - first.bit_length()  # in bytes: as many as the leading zeros, and one
    bits = int.from_bytes(data[at + 4 : at + 4 + width]) & ((1 << 7 * width) - 1)
    return at + 4 + width, 0 if bits == (1 << 7 * width) - 1 else bits


def _judge_chunk(begin: int, length: int, size: int) -> Declared:
    """Return what a file of `size` bytes lacks of the chunk whose `length` bytes begin at `begin`.

    A length of 0 or the largest possible number, which programs declare that write to a pipe, says nothing.
    """
    missing = begin + length - size
    unknown = (length + 0xFFFF) % 0x80000000 <= 0x10000 or length in (size, size - 8)
    if missing <= 0 or unknown:
        return Declared()
    return Declared(0.0, f"{missing} of {length} bytes of audio are missing", max(0, length - missing) / length)
