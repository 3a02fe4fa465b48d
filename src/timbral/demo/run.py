"""The whole job on the voices that come with timbral."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.bulk.corpus import EmbedSummary
from timbral.checkpoints.weights import build_encoder
from timbral.config.schema import TrainConfig
from timbral.config.yaml import load_config
from timbral.data.corpora.registry import scan_corpus
from timbral.errors import DataError
from timbral.inference.embedder import Embedder
from timbral.io.files import atomic_write, read_json, rename_aside, write_json
from timbral.io.progress import bar, training_bar
from timbral.plots import projection
from timbral.scoring.evaluation import Evaluation
from timbral.scoring.trials import draw_pairs
from timbral.version import __version__

__all__ = ["VOICES", "run_demo"]

HERE = Path(__file__).parent
VOICES = HERE / "voices"
EVERY = 4
"""every fourth voice is kept from training, to be judged on"""


def run_demo(output: Path) -> int:
    """Prepare, train, evaluate, embed and draw the shipped voices; print what came of it.

    Returns the exit code. Whatever an earlier, interrupted demo had finished is kept.
    """
    projection.check_installed()
    console = Console()
    voices = len(list(VOICES.glob("*/")))
    console.print(f"{voices} synthetic voices (made with Kokoro-82M), into {output}")
    _claim(console, output)
    config = load_config(HERE / "config.yaml")
    with bar("prepare") as advance:
        workers = os.cpu_count() or 1
        recordings = scan_corpus("folder", VOICES)
        api.prepare(recordings, output / "data", Preprocessing(), workers=workers, progress=advance)
    trials, unseen = _unseen_voices(output)
    before = api.evaluate(_untrained(config), trials, VOICES, output / "before")
    trained = _train(config, output, unseen)
    embedder = api.load_encoder(trained.checkpoint, device="cpu")
    with bar("evaluate") as advance:
        after = api.evaluate(embedder, trials, VOICES, output / "after", advance)
    with bar("embed") as advance:
        embedded = api.embed(
            embedder,
            VOICES,
            output / "embeddings",
            progress=lambda done, total, seconds, failures: advance(done, total),
        )
    with bar("draw the map") as advance:
        api.draw_map(output / "embeddings", output / "map.html", advance)
    console.print(_results(output, before, after, embedded, trained))
    console.print(
        "Synthetic voices are cleaner than people: on 25 unseen speakers of speechocean762, real\n"
        "recordings, the same encoder reached 7.5 % (see the README).\n"
        "Open the map in a browser and click a point to hear it. Next, your own recordings:\n"
        "  timbral prepare MY_VOICES --output data",
        soft_wrap=True,
    )
    return 0


def _claim(console: Console, output: Path) -> None:
    """Tie the folder to this demo; what another version or copy of it made is moved aside."""
    recipe = (HERE / "config.yaml").read_text("utf-8")
    mine = {"timbral": __version__, "voices": str(VOICES), "recipe": recipe}
    marker = output / "demo.json"
    if marker.exists() and read_json(marker) != mine:
        aside = rename_aside(output)
        console.print(f"another version's demo was here; it lies in {aside} now")
    elif output.exists() and not marker.exists() and any(output.iterdir()):
        raise DataError(f"{output}: is not empty and holds no demo; choose another --output")
    write_json(marker, mine)


def _train(config: TrainConfig, output: Path, unseen: Path) -> api.TrainReport:
    with training_bar(config.schedule.steps) as progress:
        return api.train(
            config,
            output / "data",
            output / "run",
            exclude_speakers=unseen,
            validation_speakers="0",
            device="cpu",
            progress=progress,
        )


def _unseen_voices(output: Path) -> tuple[Path, Path]:
    """Write the list of voices kept from training, and trials among their utterances."""
    utterances = scan_corpus("folder", VOICES)
    unseen = sorted({row.speaker for row in utterances})[::EVERY]
    rows = [row for row in utterances if row.speaker in unseen]
    lines = (
        f"{label} {rows[first].utterance}.ogg {rows[second].utterance}.ogg\n"
        for label, first, second in draw_pairs([row.speaker for row in rows], max_per_kind=1000)
    )
    contents = {
        "trials.txt": "".join(lines),
        "unseen-voices.txt": "".join(f"{name}\n" for name in unseen),
    }
    for name, text in contents.items():
        with atomic_write(output / name) as temporary:
            temporary.write_text(text, "utf-8")
    return output / "trials.txt", output / "unseen-voices.txt"


def _untrained(config: TrainConfig) -> Embedder:
    """The encoder that training starts from."""
    torch.manual_seed(config.trainer.seed)
    return Embedder(build_encoder(config.encoder))


def _results(
    output: Path,
    before: Evaluation,
    after: Evaluation,
    embedded: EmbedSummary,
    trained: api.TrainReport,
) -> Table:
    table = Table(title="What came of it", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    trials = f"({after.num_trials:,} trials, voices never trained on)"
    speed = f", {embedded.times_real_time:.0f} x real time" if embedded.new_audio_seconds else ""
    for name, value in {
        "EER before training": f"{100 * before.eer:.1f} % {trials}",
        "EER after training": f"{100 * after.eer:.1f} % {trials}",
        "training": f"{trained.step} steps in {trained.seconds:.0f} s",
        "embedded": (
            f"{embedded.num_utterances:,} utterances of {embedded.num_speakers} voices{speed}"
        ),
        "checkpoint": str(trained.checkpoint),
        "embeddings": f"{output / 'embeddings'}/utterances.parquet, speakers.parquet",
        "map": f"{output / 'map.html'}, map.png",
    }.items():
        table.add_row(name, value)
    return table
