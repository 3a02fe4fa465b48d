"""Open recordings of all formats, and determine their true length.

head of the file ──▶ MP3:  count its frames ─┐
                 ──▶ Ogg:  find its streams  ├─▶ libsndfile ──▶ Sound
                 ──▶ PCM:  read its header  ─┘
                 ──▶ m4a, webm, …: decode ──────▶ PyAV ───────▶ Sound
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import soundfile

from timbral.audio import headers
from timbral.audio.byte_source import ByteSource
from timbral.audio.ffmpeg import decode_container, is_container
from timbral.audio.flac import MAGIC as FLAC
from timbral.audio.flac import flac_lengths, with_length
from timbral.audio.length_limit import NO_LIMIT, LengthLimit
from timbral.audio.mp3 import Mp3Stream, behind_id3, is_mp3, is_mpeg, mp3_streams
from timbral.audio.ogg import ogg_links
from timbral.audio.sound import Samples, Sound, from_libsndfile, in_memory, scaled_pcm
from timbral.errors import AudioError
from timbral.io.standard_error import without_standard_error

__all__ = ["is_decoded_whole", "open_sound"]

WAV_LIMIT = 2**32
"""bytes that 32 bits cannot count"""
PADDED_BLOCKS = 2
"""blocks of a codec by whose samples the content may exceed the counted samples"""


def is_decoded_whole(source: ByteSource) -> bool:
    """Whether the length of a recording is known only after decoding."""
    head = _head(source)
    return is_container(head) or (is_mpeg(head) and not is_mp3(head))


def _head(source: ByteSource) -> bytes:
    """The first bytes after an ID3 tag."""
    return source.read_at(behind_id3(source.read_at), 16)


@contextmanager
def open_sound(source: ByteSource) -> Iterator[Sound]:
    """Open the recording in `source`.

    Raises AudioError, also for one beyond the source's limit, and whatever libsndfile raises.
    """
    with _opened(source) as sound:
        source.limit.check(source.name, sound.num_samples, sound.sample_rate, sound.channels)
        yield sound


def _opened(source: ByteSource) -> AbstractContextManager[Sound]:
    head = _head(source)
    if is_container(head):
        return nullcontext(decode_container(source))
    if is_mpeg(head):
        return nullcontext(_open_mpeg(source, is_mp3(head)))
    if source.head.startswith(b"OggS"):
        return _open_ogg(source)
    if source.head.startswith(FLAC):
        return _open_flac(source)
    return _open_pcm(source)


@contextmanager
def _open_pcm(source: ByteSource) -> Iterator[Sound]:
    """Open wav, aiff, au, caf, w64, and all other formats of libsndfile."""
    data = headers.read_data(source)
    if data is None and (source.path or source.name).lower().endswith(".mp3"):
        # It begins within a frame. libsndfile, too, would recognize it by its name.
        yield _open_mpeg(source, is_mp3=True)
        return
    if data is None:
        with soundfile.SoundFile(source.for_library()) as file:
            yield _sound_of(source, file)
        return
    there = source.size - data.start
    if data.size is not None and there > data.size:
        _check_not_joined(source, data.start + data.size)
        _check_not_wrapped(source, data, there)
    if data.size and data.pcm_channels:
        yield _open_pcm_16(source, data, min(data.size, there), data.size)
        return
    with _file_of(source, data) as file:
        sound = _sound_of(source, file, _counted(file, data))
        if data.size is not None and data.size > there > 0:
            sound = replace(sound, stated_samples=sound.num_samples * data.size // there)
        yield sound


def _open_pcm_16(source: ByteSource, data: headers.Data, there: int, stated: int) -> Sound:
    """Open a wav file of 16-bit PCM without libsndfile, whose opening costs as much as reading."""
    frame = 2 * data.pcm_channels

    def read(start: int, stop: int) -> Samples:
        content = source.read_at(data.start + start * frame, (stop - start) * frame)
        whole = content[: len(content) - len(content) % frame]  # the file may have become shorter
        return scaled_pcm(np.frombuffer(whole, "<i2").reshape(-1, data.pcm_channels))

    return Sound(data.pcm_rate, data.pcm_channels, there // frame, stated // frame, read)


def _sound_of(
    source: ByteSource, file: soundfile.SoundFile, num_samples: int | None = None
) -> Sound:
    """Like `from_libsndfile`, which decodes at once what libsndfile cannot seek in."""
    if not file.seekable():
        source.limit.check(source.name, file.frames, file.samplerate, file.channels)
    return from_libsndfile(file, num_samples)


def _file_of(source: ByteSource, data: headers.Data) -> soundfile.SoundFile:
    """The file for libsndfile, with a missing size filled in if libsndfile needs it."""
    if data.size is None and data.size_format and source.size > data.start:
        try:
            file = soundfile.SoundFile(source.for_library())
        except soundfile.LibsndfileError:
            return soundfile.SoundFile(io.BytesIO(headers.closed(source, data)))
        if file.frames:
            return file
        file.close()
        return soundfile.SoundFile(io.BytesIO(headers.closed(source, data)))
    return soundfile.SoundFile(source.for_library())


def _counted(file: soundfile.SoundFile, data: headers.Data) -> int:
    """Samples per channel, by the fact chunk if that is close to the content of the blocks."""
    padding = file.frames - data.num_samples
    return data.num_samples if 0 <= padding <= PADDED_BLOCKS * data.block_samples else file.frames


def _check_not_joined(source: ByteSource, end: int) -> None:
    magic = source.head[:4]
    ends, kinds = [end], {magic: "file"}
    if magic == b"RIFF":
        kinds[b"data"] = "data chunk"
        ends.append(headers.behind_chunks(source, end + end % 2, kinds))
    for end in ends:
        for name, kind in kinds.items():
            if end > 0 and name in (source.read_at(end, 4), source.read_at(end + 1, 4)):
                raise AudioError(
                    source.name,
                    f"a second {kind} is appended at byte {end:,}, which would not be read; split "
                    "them",
                    "unsupported",
                )


def _check_not_wrapped(source: ByteSource, data: headers.Data, there: int) -> None:
    """Raise AudioError for a wav of more than 4 GiB, whose header states the size modulo 4 GiB."""
    if data.size_format == "<I" and there - (data.size or 0) >= WAV_LIMIT:
        reason = (
            f"{there / 2**30:.1f} GiB of samples are more than the header of a wav file can "
            "state; convert it to RF64, W64 or flac"
        )
        raise AudioError(source.name, reason, "unsupported")


@contextmanager
def _open_flac(source: ByteSource) -> Iterator[Sound]:
    there, stated = flac_lengths(source)
    if 0 < there != stated > 0:
        _check_not_joined(source, source.content().find(FLAC, len(FLAC)))
    unstated = there > 0 == stated
    content = io.BytesIO(with_length(source, there)) if unstated else source.for_library()
    with soundfile.SoundFile(content) as file:
        sound = from_libsndfile(file)
        yield replace(sound, num_samples=there) if 0 < there < sound.num_samples else sound


@contextmanager
def _open_ogg(source: ByteSource) -> Iterator[Sound]:
    content = source.content()
    links, breaks_off = ogg_links(content)
    if breaks_off:
        reason = "the recording is truncated: it ends inside an Ogg page; fetch or copy it again"
        raise AudioError(source.name, reason, "truncated")
    with ExitStack() as stack:
        if len(links) <= 1:
            opened = [soundfile.SoundFile(source.for_library())]
        else:
            opened = [soundfile.SoundFile(io.BytesIO(content[link])) for link in links]
        yield _chained(source, [from_libsndfile(stack.enter_context(file)) for file in opened])


def _open_mpeg(source: ByteSource, is_mp3: bool) -> Sound:
    """Open MP3 by counting its frames; decode layers 1 and 2, and what only looks like MP3."""
    content = source.content()
    if is_mp3 and (streams := mp3_streams(content)):
        return _open_mp3(source, streams)
    return in_memory(*without_standard_error(partial(_decoded, content, source.limit)))


def _open_mp3(source: ByteSource, streams: Sequence[Mp3Stream]) -> Sound:
    """Open streams as cuts that state their length, even for an ordinary file.

    libsndfile seeks exactly in the file itself, but libmpg123 stops at its estimated length, and
    prints warnings about seeks, tags, gaps and unexpected first frames without the file's name. So
    the decoder runs without standard error.
    """
    sounds = [
        Sound(
            stream.sample_rate,
            stream.channels,
            stream.num_samples,
            stream.stated_samples,
            partial(_read_mp3, stream),
        )
        for stream in streams
    ]
    return _chained(source, sounds)


def _read_mp3(stream: Mp3Stream, start: int, stop: int) -> Samples:
    content, first = stream.cut(start, stop)
    samples, _ = without_standard_error(partial(_decoded, content))
    return samples[first : first + stop - start]


def _decoded(content: bytes, limit: LengthLimit = NO_LIMIT) -> tuple[Samples, int]:
    """All samples, or up to one more than the limit, and the rate in Hz."""
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        most = limit.most_samples(file.samplerate)
        return file.read(most, dtype="float32", always_2d=True), file.samplerate


def _chained(source: ByteSource, sounds: Sequence[Sound]) -> Sound:
    """Several recordings in sequence as one; channels are averaged if their numbers differ."""
    if len(sounds) == 1:
        return sounds[0]
    rates = sorted({sound.sample_rate for sound in sounds})
    if len(rates) > 1:
        raise AudioError(
            source.name,
            f"it consists of {len(sounds)} joined streams of {' and '.join(map(str, rates))} Hz; "
            "split them, or convert it to one sample rate",
            "unsupported",
        )
    channels = {sound.channels for sound in sounds}
    same = len(channels) == 1

    def read(start: int, stop: int) -> Samples:
        pieces, begin = [], 0
        for sound in sounds:
            first, last = max(start - begin, 0), min(stop - begin, sound.num_samples)
            if first < last:
                piece = sound.read(first, last)
                pieces.append(piece if same else piece.mean(axis=1, keepdims=True))
            begin += sound.num_samples
        return np.concatenate(pieces) if pieces else np.zeros((0, 1), np.float32)

    return Sound(
        rates[0],
        channels.pop() if same else 1,
        sum(sound.num_samples for sound in sounds),
        sum(sound.stated_samples for sound in sounds),
        read,
    )
