"""Verbs over an encoder: evaluate, verify, models, download, convert, average, demo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from timbral.cli.shared import AS_USUAL, OK, Encoder, Running, count_failures, load_embedder
from timbral.errors import ConfigError
from timbral.io.progress import bar

__all__ = ["average", "convert", "demo", "download", "evaluate", "models", "verify"]


def evaluate(
    encoder: Encoder,
    trials: Annotated[Positional[Path], arg(metavar="TRIALS")],
    *,
    root: Path = Path(),
    output: Path | None = None,
    p_target: float = 0.05,
    running: Running = AS_USUAL,
) -> int:
    """Error rates of an encoder on a list of trials.

    Args:
        trials: lines `label path path`; label 1 is the same speaker, 0 another
        root: the folder that the paths start from
        output: folder for evaluation.json and scores.txt; default evaluation/TRIALS below a run
            folder, or below this folder for a name
        p_target: prior of target trials in minDCF; papers on VoxCeleb also report 0.01
    """
    from timbral import api

    embedder = load_embedder(encoder, running)
    target = output or _home(Path(encoder)) / "evaluation" / trials.stem
    with bar("embedding") as advance:
        result = api.evaluate(embedder, trials, root, target, advance, p_target=p_target)
    code = count_failures(result.num_failures, target)
    print(f"scores: {target / 'scores.txt'}")
    print(result.line)
    return code


def _home(encoder: Path) -> Path:
    """The run folder of an encoder; for a name this folder."""
    if not encoder.is_dir():
        return Path()
    return encoder.parent.parent if encoder.parent.name == "checkpoints" else encoder


def verify(
    encoder: Encoder,
    first: Annotated[Positional[Path], arg(metavar="FIRST")],
    second: Annotated[Positional[Path], arg(metavar="SECOND")],
    *,
    threshold: float | None = None,
    running: Running = AS_USUAL,
) -> int:
    """Are two recordings of one speaker?

    Args:
        first: a recording
        second: another one
        threshold: cosine from which the answer is yes; default the run's own, where misses and
            false alarms were equally frequent on its validation speakers
    """
    from timbral import api

    embedder = load_embedder(encoder, running)
    cosine = embedder.similarity(first, second)
    own = api.validation_threshold(encoder)
    limit = own if threshold is None else threshold
    print(f"cosine {cosine:.3f}")
    if limit is None:
        print("no threshold is known for this encoder (no validation); give one with --threshold")
    else:
        verdict = "same speaker" if cosine >= limit else "different speakers"
        print(f"{verdict} (threshold {limit:.3f})")
    return OK


def models() -> int:
    """The encoders that can be trained, and the published weights that can be downloaded."""
    from timbral import api

    rows = api.models()
    for title, published in (("Architectures, to train", False), ("Published weights", True)):
        print(title)
        for row in rows:
            if bool(row.license) != published:
                continue
            size = f"E {row.embedding_dim}  {row.parameters / 1e6:5.1f} M"
            print(f"  {row.name:<19}{size}  {row.sample_rate // 1000} kHz  {row.description}")
            if published:
                needs = f" (needs timbral[{row.extra}])" if row.extra else ""
                how = "here" if row.downloaded else f"get it: timbral download {row.name}{needs}"
                print(f"  {'':<19}{row.source}, {row.license}; {how}")
    return OK


def download(
    names: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME")],
    *,
    pretrained: Annotated[Path | None, arg(metavar="FOLDER")] = None,
) -> int:
    """Fetch published weights into the cache folder.

    Args:
        names: names of `timbral models`
        pretrained: a copy of the one name's weights, instead of the download
    """
    from timbral import api

    if pretrained is not None and len(names) != 1:
        raise ConfigError(f"--pretrained is for one name, got {len(names)}")
    for name in names:
        print(f"{name}: {api.download(name, pretrained)}")
    return OK


def convert(
    weights: Annotated[Positional[Path], arg(metavar="WEIGHTS")],
    *,
    output: Path,
    from_: Annotated[str | None, arg(name="from", metavar="FORMAT")] = None,
) -> int:
    """Write another project's weights as a checkpoint folder, running nothing in them.

    Args:
        weights: a file, or a folder of transformers or SpeechBrain
        output: the checkpoint folder; every verb takes it
        from_: resemblyzer, real-time-voice-cloning, ddvc, paddlespeech, speechbrain, 3d-speaker or
            transformers; default what the file shows
    """
    from timbral import api

    made = api.convert(weights, output, from_)
    step = f", step {made.step}" if made.step else ""
    print(f"{type(made.config.encoder).__name__.removesuffix('Config')}{step}: {output}")
    if made.uninitialized_prefixes:
        print(f"warning: {api.uninitialized_message(made)}", file=sys.stderr)
    return OK


def average(
    encoders: Annotated[Positional[tuple[str, ...]], arg(metavar="ENCODER")],
    *,
    output: Path,
    shares: Annotated[tuple[float, ...], arg(metavar="SHARE")] = (),
) -> int:
    """One encoder from the weights of several, such as a fine-tuned one and its origin.

    Args:
        encoders: run folders, checkpoint folders or names, all of one architecture
        output: the checkpoint folder; every verb takes it
        shares: how much of each, in their order; default equal
    """
    from timbral import api

    made = api.average(encoders, output, shares)
    total = sum(shares or [1.0] * len(encoders))
    parts = zip(encoders, shares or [1.0] * len(encoders), strict=True)
    words = " + ".join(f"{100 * share / total:.3g} % {name}" for name, share in parts)
    print(f"{words}: {made.folder}")
    return OK


def demo(*, output: Path = Path("demo-run")) -> int:
    """The whole job in five minutes on voices that come with timbral.

    Args:
        output: folder for everything that is made
    """
    from timbral.demo.run import run_demo

    return run_demo(output)
