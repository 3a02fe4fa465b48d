"""Containers and codecs × whole, cut, without a length, joined: the table of docs/recordings.md."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

import timbral
from timbral.audio.decode import Wave, decode, decode_bytes, read_header, stated_seconds
from timbral.audio.mp3 import mp3_streams
from timbral.audio.preprocessing import Preprocessing
from timbral.data.prepared.store import Store
from timbral.errors import AudioError

RATE = 8_000
SECONDS = {"first": 1.25, "second": 0.75}
PADDING = {
    "mp3": 2_400,
    "m4a, AAC": 1_200,
    "aac (ADTS)": 2_200,
    "webm, Opus": 700,
    "amr": 200,
    "au, G.723": 119,
}
"""samples that a codec may add to each file"""
PAGE = Path(__file__).parents[1] / "docs" / "recordings.md"


def sound(seconds: float, rate: int = RATE) -> Wave:
    """A gliding tone that swells: every moment is another."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (300 * time + 150 * np.square(time))
    return (0.5 * np.sin(phase) * (0.2 + 0.8 * time / seconds)).astype(np.float32)


def written(format: str, subtype: str, wave: Wave) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, wave, RATE, subtype, format=format)
    return out.getvalue()


def muxed(format: str, codec: str, wave: Wave, layout: str = "mono", **options: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=format, options=options) as container:
        stream = container.add_stream(codec, rate=RATE, layout=layout)
        pcm = np.repeat(wave, 2 if layout == "stereo" else 1) * 32_767
        frame = av.AudioFrame.from_ndarray(pcm.astype(np.int16)[None], "s16", layout)
        frame.sample_rate, frame.pts = RATE, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return out.getvalue()


def without(chunk: bytes, format: str, value: int) -> Callable[[bytes], bytes]:
    """Puts `value` where the size of a chunk stands, as a recorder that was killed leaves it."""

    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        struct.pack_into(format, changed, content.index(chunk) + len(chunk), value)
        return bytes(changed)

    return change


def without_flac_length(content: bytes) -> bytes:
    return content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:]


def without_beginning(content: bytes) -> bytes:
    """As a stream is recorded: the first frames need data of frames that are not there."""
    return content[mp3_streams(content)[0].starts[20] :]


def without_rf64_length(content: bytes) -> bytes:
    size = content.index(b"ds64") + 16
    return content[:size] + bytes(8) + content[size + 8 :]


def without_xing(content: bytes) -> bytes:
    return content[mp3_streams(content)[0].starts[0] :]


W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a"


@dataclass(frozen=True)
class Kind:
    make: Callable[[Wave], bytes]
    without_length: Callable[[bytes], bytes] | None = None


def libsndfile(
    format: str, subtype: str, without_length: Callable[[bytes], bytes] | None = None
) -> Kind:
    return Kind(lambda wave: written(format, subtype, wave), without_length)


def ffmpeg(format: str, codec: str) -> Kind:
    return Kind(lambda wave: muxed(format, codec, wave))


WAV = without(b"data", "<I", 0)
KINDS = {
    "wav, PCM": libsndfile("WAV", "PCM_16", WAV),
    "wav, GSM 6.10": libsndfile("WAV", "GSM610", WAV),
    "wav, G.721": libsndfile("WAV", "G721_32", WAV),
    "wav, NMS ADPCM": libsndfile("WAV", "NMS_ADPCM_16", WAV),
    "wav, MS ADPCM": libsndfile("WAV", "MS_ADPCM", WAV),
    "rf64, PCM": libsndfile("RF64", "PCM_16", without_rf64_length),
    "w64, PCM": libsndfile("W64", "PCM_16", without(W64_DATA, "<Q", 24)),
    "aiff, PCM": libsndfile("AIFF", "PCM_16", without(b"SSND", ">I", 8)),
    "au, PCM": libsndfile("AU", "PCM_16", without(b".snd\0\0\0\x18", ">I", 0)),
    "au, G.723": libsndfile("AU", "G723_24", without(b".snd\0\0\0\x18", ">I", 0)),
    "caf, PCM": libsndfile("CAF", "PCM_16", without(b"data", ">q", -1)),
    "sph, PCM": libsndfile("NIST", "PCM_16"),
    "voc, PCM": libsndfile("VOC", "PCM_16"),
    "flac": libsndfile("FLAC", "PCM_16", without_flac_length),
    "ogg, Vorbis": libsndfile("OGG", "VORBIS"),
    "ogg, Opus": libsndfile("OGG", "OPUS"),
    "mp3": libsndfile("MP3", "MPEG_LAYER_III", without_xing),
    "m4a, AAC": ffmpeg("ipod", "aac"),
    "aac (ADTS)": ffmpeg("adts", "aac"),
    "webm, Opus": Kind(
        lambda wave: muxed("webm", "libopus", wave),
        lambda content: muxed("webm", "libopus", sound(SECONDS["first"]), live="1"),
    ),
    "amr": ffmpeg("amr", "libopencore_amrnb"),
}
CASES = ("whole", "cut in the middle", "length not stated", "two files joined")


def table() -> dict[str, dict[str, str]]:
    """The table of docs/recordings.md: what is said of each container and case."""
    lines = re.findall(r"^\| .* \|$", PAGE.read_text("utf-8"), flags=re.M)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][1:] == list(CASES)
    return {name: dict(zip(CASES, words, strict=True)) for name, *words in cells[2:]}


def test_table_has_every_kind() -> None:
    assert list(table()) == list(KINDS)


def made(kind: Kind, case: str) -> bytes | None:
    first, second = (kind.make(sound(seconds)) for seconds in SECONDS.values())
    if case == "whole":
        return first
    if case == "cut in the middle":
        return first[: len(first) // 2]
    if case == "two files joined":
        return first + second
    return kind.without_length(first) if kind.without_length else None


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", KINDS)
def test_containers(name: str, case: str, tmp_path: Path) -> None:
    """Each cell of the table, from a path and from memory, decoded and by the header alone."""
    content, word = made(KINDS[name], case), table()[name][case]
    if content is None:
        assert word == "–"
        return
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    if word != "whole":
        for read in (decode, read_header, lambda path: decode_bytes(path.read_bytes(), "bytes")):
            with pytest.raises(AudioError) as error:
                read(path)
            assert error.value.kind == word
        return
    wave, rate = decode(path)
    joined = case == "two files joined"
    seconds = sum(SECONDS.values()) if joined else SECONDS["first"]
    padding = PADDING.get(name, 0) * (2 if joined else 1) * rate / RATE
    assert seconds * rate <= len(wave) <= seconds * rate + padding
    assert read_header(path) == (rate, len(wave), 1)
    assert stated_seconds(path) in (None, len(wave) / rate)
    np.testing.assert_array_equal(decode_bytes(content, "bytes")[0], wave)
    if case == "length not stated" and not padding:
        np.testing.assert_array_equal(wave, decode_bytes(KINDS[name].make(sound(1.25)), "b")[0])


def test_joined_streams_are_one_after_the_other() -> None:
    pieces = [written("OGG", "VORBIS", sound(seconds)) for seconds in SECONDS.values()]
    joined = np.concatenate([decode_bytes(piece, "piece")[0] for piece in pieces])
    np.testing.assert_array_equal(decode_bytes(b"".join(pieces), "joined")[0], joined)


def test_joined_streams_of_other_rates_are_an_error() -> None:
    out = io.BytesIO()
    soundfile.write(out, sound(0.5, 16_000), 16_000, "VORBIS", format="OGG")
    with pytest.raises(AudioError, match="8000 and 16000 Hz") as error:
        decode_bytes(written("OGG", "VORBIS", sound(0.5)) + out.getvalue(), "x")
    assert error.value.kind == "unsupported"


@pytest.mark.parametrize("fact", [10_300, 0])
def test_gsm_ends_before_the_noise_after_it(fact: int) -> None:
    """1.29 s are 33 blocks; libsndfile reads 34."""
    content = written("WAV", "GSM610", sound(1.29))
    content = without(b"fact\4\0\0\0", "<I", fact)(content)
    wave, _ = decode_bytes(content, "x")
    assert len(wave) == (fact or 33 * 320)
    assert soundfile.info(io.BytesIO(content)).frames == 34 * 320


@pytest.mark.parametrize("stated", [0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_lengths_that_programs_write_into_pipes_are_no_promise(stated: int) -> None:
    content = without(b"data", "<I", stated)(written("WAV", "PCM_16", sound(0.5)))
    assert len(decode_bytes(content, "x")[0]) == 4_000


def test_empty_recording_with_a_chunk_after_it_stays_empty() -> None:
    content = written("WAV", "PCM_16", np.zeros(0, np.float32)) + b"LIST\x04\0\0\0INFO"
    with pytest.raises(AudioError, match="empty"):
        decode_bytes(content, "x")


def test_header_that_counts_itself_is_no_truncated_file() -> None:
    """Some programs write the size of the file where that of the samples belongs."""
    content = written("WAV", "PCM_16", sound(0.5))
    wave, _ = decode_bytes(without(b"data", "<I", len(content))(content), "x")
    assert len(wave) == 4_000


def test_wav_beyond_4_gib_is_an_error(tmp_path: Path) -> None:
    """Its header states what is left of its size after a division by 2**32."""
    path = tmp_path / "a.wav"
    path.write_bytes(written("WAV", "PCM_16", sound(0.5)))
    os.truncate(path, path.stat().st_size + 2**32)  # a hole, which takes no room
    with pytest.raises(AudioError, match=r"4.0 GiB of samples are more than the header") as error:
        decode(path)
    assert error.value.kind == "unsupported"


def test_segments_of_a_truncated_recording(tmp_path: Path) -> None:
    """Those that are there are read; one that is not all there is a failure."""
    content = written("WAV", "PCM_16", sound(2.0))
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 2])
    assert len(decode(f"{tmp_path}/a.wav#t=0.25,0.75")[0]) == 4_000
    assert read_header(f"{tmp_path}/a.wav#t=0.25,0.75") == (RATE, 4_000, 1)
    for segment in ("#t=0.5,1.5", "#t=1.25,1.75"):
        with pytest.raises(AudioError, match="truncated"):
            decode(f"{tmp_path}/a.wav{segment}")
    with pytest.raises(AudioError, match="no such segment"):
        decode(f"{tmp_path}/a.wav#t=5,6")


@pytest.mark.parametrize("change", [lambda content: content, without_xing, without_beginning])
def test_segments_of_mp3_are_exact_and_silent(
    change: Callable[[bytes], bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """libmpg123 complains on the terminal about what follows a seek, and names no file."""
    wave = np.concatenate([0.01 * sound(1.0), sound(2.0), 0.1 * sound(1.0)])
    path = tmp_path / "a.mp3"
    path.write_bytes(change(written("MP3", "MPEG_LAYER_III", wave)))
    whole, _ = decode(path)
    for start, end in ((0.0, 1.0), (0.9, 2.3), (1.57, 2.61), (2.2, 2.7)):
        segment, _ = decode(f"{path}#t={start},{end}")
        expected = whole[round(start * RATE) : round(end * RATE)]
        np.testing.assert_allclose(segment, expected, atol=1e-6)
    assert capfd.readouterr().err == ""


def test_tags_around_mp3_are_no_frames(capfd: pytest.CaptureFixture[str]) -> None:
    """Neither is a gap; and libmpg123 is not shown them, for it would warn of each."""
    content = written("MP3", "MPEG_LAYER_III", sound(1.0))
    wave, _ = decode_bytes(content, "x")
    id3 = b"ID3\x04\0\0\0\0\x40\0" + b"\xff\xfb\x90\0" * 2_048  # what is in it looks like headers
    for tagged in (id3 + content + b"TAG" + bytes(125), content + b"APETAGEX" + bytes(4_096)):
        np.testing.assert_array_equal(decode_bytes(tagged, "x")[0], wave)
    middle = mp3_streams(content)[0].starts[9]
    with_gap = content[:middle] + b"no frame" + content[middle:]
    np.testing.assert_array_equal(decode_bytes(with_gap, "x")[0], wave)
    assert capfd.readouterr().err == ""


def test_channels_that_come_later_are_averaged(tmp_path: Path) -> None:
    """A capture of AAC that turns from mono to stereo."""
    mono = muxed("adts", "aac", sound(1.0))
    content = mono + muxed("adts", "aac", sound(1.0), "stereo")
    wave, _ = decode_bytes(content, "x")
    assert 16_000 <= len(wave) <= 20_000
    before, _ = decode_bytes(mono, "x")
    np.testing.assert_allclose(wave[:8_000], before[:8_000], atol=1e-3)


def test_tags_that_are_not_utf8_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="ipod") as container:
        container.metadata["title"] = "caf??"
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            (sound(0.5)[None] * 32_767).astype(np.int16), "s16", "mono"
        )
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    content = path.read_bytes()
    assert b"caf??" in content
    path.write_bytes(content.replace(b"caf??", b"caf\xe9\xff"))
    assert len(decode(path)[0]) >= 4_000


def test_one_length_for_every_verb(tmp_path: Path) -> None:
    """prepare, inspect, and Lhotse's list of recordings say what is in the file."""
    contents = {
        "never closed.wav": WAV(written("WAV", "PCM_16", sound(1.25))),
        "gsm.wav": written("WAV", "GSM610", sound(1.25)),
        "stream.mp3": without_xing(written("MP3", "MPEG_LAYER_III", sound(1.25))),
        "two.ogg": written("OGG", "VORBIS", sound(0.75)) + written("OGG", "VORBIS", sound(0.5)),
    }
    folder = tmp_path / "corpus" / "speaker"
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    lengths = {name: len(decode(folder / name)[0]) / RATE for name in contents}
    assert lengths == {**dict.fromkeys(contents, 1.25), "stream.mp3": lengths["stream.mp3"]}
    timbral.prepare(folder.parent, tmp_path / "store", Preprocessing(min_rms_dbfs=None))
    table = Store.open(tmp_path / "store").table
    seconds = table["duration_seconds"].to_pylist()
    assert seconds == pytest.approx([lengths[name] for name in sorted(contents)], abs=1e-4)
    assert sorted(timbral.inspect(folder.parent).seconds) == sorted(lengths.values())
    timbral.export_list(folder.parent, tmp_path / "lhotse", format="lhotse")
    with gzip.open(tmp_path / "lhotse" / "recordings.jsonl.gz", "rt") as lines:
        recordings = [json.loads(line) for line in lines]
    assert {
        Path(row["sources"][0]["source"]).name: row["duration"] for row in recordings
    } == lengths
