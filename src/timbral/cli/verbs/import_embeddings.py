"""The verb import-embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from timbral.cli.common_options import OK, option, report_failures
from timbral.cli.early_checks import check_files
from timbral.cli.wording import count
from timbral.errors import ConfigError

__all__ = ["run"]


def run(
    sources: Annotated[
        Positional[tuple[Path, ...]],
        option(
            "SOURCE …",
            "files (.ark, .scp, .npy, .npz, .safetensors, .pt, .pth, .pkl, .csv, .tsv, .jsonl, "
            ".parquet) or folders of Kaldi, WeSpeaker, SpeechBrain, CosyVoice, Coqui, trees of "
            ".npy or .pt",
        ),
    ],
    *,
    output: Annotated[Path, option("FOLDER", "the folder; use it as EMBEDDINGS")],
    encoder: Annotated[
        str, option("NAME", "name of the encoder that computed the vectors")
    ] = "unknown",
    weights: Annotated[
        Path | None, option("FILE", "the weights file of that encoder, whose hash identifies it")
    ] = None,
    speakers: Annotated[
        Path | None, option("FILE", "lines `utterance speaker`, as Kaldi's utt2spk")
    ] = None,
    paths: Annotated[
        Path | None, option("FILE", "lines `utterance recording`, as Kaldi's wav.scp")
    ] = None,
    columns: Annotated[
        tuple[str, ...],
        option(
            "NAME=COLUMN ...",
            "column names of a table for utterance, path, speaker, session, embedding; default: "
            "common names",
        ),
    ] = (),
    license: Annotated[str, option("LICENSE", "license of the encoder's weights")] = "",
) -> int:
    """Import vectors of other tools.

    example: timbral import-embeddings exp/xvector.scp --speakers data/utt2spk --output emb
    """
    check_files(weights, speakers, paths)
    named = dict(_pair(each) for each in columns)
    from timbral import api

    done = api.import_embeddings(
        sources, output, encoder=encoder, weights=weights, speakers=speakers, paths=paths,
        columns=named, license=license,
    )  # fmt: skip
    who = f"{done.num_speakers:,} speakers" if done.num_speakers else "no speakers known"
    print(
        f"{output}: {count(done.num_utterances, 'vector')} of {done.embedding_dim} numbers, {who}"
    )
    print(f"encoder {encoder}, known by {done.weights_sha256[:12]}")
    return report_failures(done.num_failures, output) or OK


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not equals or not column:
        raise ConfigError(
            f"--columns takes pairs NAME=COLUMN, such as speaker=spk_id; got {text!r}"
        )
    return name, column
