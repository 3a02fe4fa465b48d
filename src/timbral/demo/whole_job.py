"""The whole job on the voices that come with timbral: prepare, train, evaluate, embed, draw."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from timbral import api
from timbral.checkpoints.weights import build_encoder
from timbral.config.schema import TrainConfig
from timbral.config.yaml import load_config
from timbral.demo.results import NEXT_STEPS, DemoResults
from timbral.demo.shipped import VOICES, num_voices, write_held_out
from timbral.inference.embedder import Embedder
from timbral.io.cores import usable_cores
from timbral.io.files import read_json, rename_aside, write_json
from timbral.io.outputs import DEMO, claim_folder
from timbral.io.progress import bar, corpus_bar, training_bar
from timbral.plots import projection
from timbral.version import __version__

__all__ = ["run_demo"]

CONFIG = Path(__file__).parent / "config.yaml"


def run_demo(output: Path) -> int:
    """Do the whole job in `output` and print the results; returns the exit code.

    An interrupted demo resumes.
    """
    projection.check_installed()
    console = Console()
    console.print(f"{num_voices()} synthetic voices (made with Kokoro-82M), into {output}")
    if renamed := _claim(output):
        console.print(f"the demo of another version was there; it was renamed to {renamed}")
    config = load_config(CONFIG)
    with bar("preparing") as progress:
        api.prepare(VOICES, output / "data", workers=usable_cores(), progress=progress)
    trials, held_out = write_held_out(output)
    before = api.evaluate(_untrained(config), trials, VOICES, output / "before")
    training = _train(config, output, held_out)
    embedder = api.load_encoder(training.checkpoint, device="cpu")
    with bar("evaluating") as progress:
        after = api.evaluate(embedder, trials, VOICES, output / "after", progress)
    with corpus_bar("embedding") as embed_progress:
        embedding = api.embed(embedder, VOICES, output / "embeddings", progress=embed_progress)
    with bar("drawing the map") as progress:
        api.map(output / "embeddings", output / "map.html", progress)
    console.print(DemoResults(output, before, after, training, embedding).table())
    console.print(NEXT_STEPS, soft_wrap=True)
    return 0


def _claim(output: Path) -> Path | None:
    """Tie the folder to this demo; returns the new name of a folder of another version's demo."""
    this_demo = {
        "timbral": __version__,
        "voices": str(VOICES),
        "config": CONFIG.read_text("utf-8"),
    }
    renamed, marker = None, output / "demo.json"
    if marker.exists() and read_json(marker) != this_demo:
        renamed = rename_aside(output)
    else:
        claim_folder(output, DEMO)
    write_json(marker, this_demo)
    return renamed


def _untrained(config: TrainConfig) -> Embedder:
    """The encoder that training starts from."""
    torch.manual_seed(config.trainer.seed)
    return Embedder(build_encoder(config.encoder))


def _train(config: TrainConfig, output: Path, held_out: Path) -> api.TrainSummary:
    with training_bar(config.schedule.steps) as progress:
        return api.train(
            config,
            output / "data",
            output / "run",
            exclude_speakers=held_out,
            validation_speakers=0,
            device="cpu",
            progress=progress,
        )
