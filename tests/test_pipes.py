"""Kaldi's pipes are read as data; nothing is run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from timbral.audio.decode import decode
from timbral.data.lists.pipes import parse_pipe
from timbral.data.sources import find_utterances

PIPES = {
    "sph2pipe -f wav -p -c 1 /a/b.sph |": "/a/b.sph#channel=0",
    "/kaldi/tools/sph2pipe_v2.5/sph2pipe -f wav -p -c 2 b.sph|": "b.sph#channel=1",
    "sph2pipe -f wav b.sph |": "b.sph",
    "flac -c -d -s a.flac |": "a.flac",
    "flac -cds 'a b (1).flac' |": "a b (1).flac",
    "flac --decode --stdout --silent a.flac |": "a.flac",
    "cat a.wav |": "a.wav",
    "ffmpeg -i a.m4a -f wav - |": "a.m4a",
    "ffmpeg -v 8 -nostdin -i a.mp4 -vn -ar 8k -ac 1 -f wav - |": "a.mp4#rate=8000",
    "ffmpeg -ss 1.5 -i a.mp4 -t 2 -f wav pipe:1 |": "a.mp4#t=1.5,3.5",
    "sox a.wav -t wav - |": "a.wav",
    "sox -t wav a.wav -r 16000 -c 1 -b 16 -t wav - |": "a.wav#rate=16000",
    "sox a.wav -t wav - remix 2 |": "a.wav#channel=1",
    "sox a.wav -t wavpcm -e signed-integer - remix - rate -h 8000 |": "a.wav#rate=8000",
    "sox -v 0.5 a.wav -t wav - speed 0.9 |": "a.wav#speed=0.9&gain=0.5",
    "sox --vol 1.5 -t wav a.wav -t wav - trim 1 2 |": "a.wav#t=1,3&gain=1.5",
    "sox a.wav -t wav - trim 1 =2.5 |": "a.wav#t=1,2.5",
    "sph2pipe -f wav -p -c 2 a.sph | sox -t wav - -r 8000 -t wav - |": "a.sph#channel=1&rate=8000",
    "flac -cds a.flac | sox -t wav - -t wav - speed 1.1 |": "a.flac#speed=1.1",
}
REFUSED = {
    "wget -O - http://x/a.wav |": "wget is not one of the commands understood",
    "rm -r a |": "rm is not one of the commands understood: sph2pipe",
    "cat a.wav": "a pipeline must end in",
    "| cat a.wav": "a pipeline must end in",
    "cat $HOME/a.wav |": "a pipeline must end in",
    "cat `ls` |": "a pipeline must end in",
    "cat a.wav; rm b |": "';' is shell syntax",
    "cat a.wav && rm b |": "'&&' is shell syntax",
    "cat a.wav > b |": "'>' is shell syntax",
    "cat a.wav b.wav |": "should name one file, got 2",
    "cat -n a.wav |": "options of cat",
    "sph2pipe -f wav -t 1:2 a.sph |": "the option -t of sph2pipe",
    "sph2pipe -c x a.sph |": "a channel should be a number",
    "flac a.wav |": "without -d would encode",
    "flac -d --skip=10 a.flac |": "of flac are not understood",
    "ffmpeg -i a.wav -af volume=2 -f wav - |": "the option -af of ffmpeg",
    "ffmpeg -i a.wav b.wav |": "should write to -",
    "ffmpeg -i a.wav -ar x -f wav - |": "a rate should be a number",
    "sox a.wav -t wav - reverb |": "the effect reverb of sox",
    "sox a.wav b.wav |": "write to -",
    "sox a.wav -t wav - speed 0 |": "a speed cannot be 0",
    "sox - -t wav - |": "should read a file",
    "cat a.wav | cat b.wav |": "should read the pipe",
    "cat 'a.wav |": "No closing quotation",
    "|": "a command is missing",
    "cat a.wav | |": "a command is missing",
}


@pytest.mark.parametrize("pipe", PIPES)
def test_known_commands_are_understood(pipe: str) -> None:
    assert str(parse_pipe(pipe)) == PIPES[pipe]


@pytest.mark.parametrize("pipe", REFUSED)
def test_anything_else_is_refused_by_name(pipe: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[pipe].replace("$", r"\$")):
        parse_pipe(pipe)


def test_a_list_of_pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two channels of a call, a segment of one, and a command that is not run."""
    random = np.random.default_rng(0)
    call = 0.1 * random.standard_normal((24_000, 2))
    soundfile.write(tmp_path / "call.wav", call, 8_000, "PCM_16")
    soundfile.write(tmp_path / "call.sph", call, 8_000, "PCM_16", format="NIST")
    (tmp_path / "wav.scp").write_text(
        "a sph2pipe -f wav -p -c 1 call.sph |\n"
        "b sox call.wav -t wav - remix 2 |\n"
        "c touch ran; cat call.wav |\n"
    )
    (tmp_path / "segments").write_text("u1 a 0.5 1.5\nu2 b 0 -1\nu3 c 0 1\n")
    (tmp_path / "utt2spk").write_text("u1 x\nu2 y\nu3 z\n")
    monkeypatch.chdir(tmp_path)
    found = find_utterances(tmp_path, "kaldi")
    waves = {row.utterance: decode(row.path)[0] for row in found}
    assert waves.keys() == {"u1", "u2"}
    np.testing.assert_allclose(waves["u1"], call[4_000:12_000, 0], atol=1e-4)
    np.testing.assert_allclose(waves["u2"], call[:, 1], atol=1e-4)
    (failure,) = found.failures
    assert failure.kind == "bad-line"
    assert "';' is shell syntax" in failure.reason
    assert not (tmp_path / "ran").exists()
