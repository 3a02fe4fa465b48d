"""The results that the demo prints at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from timbral.api import TrainSummary
from timbral.bulk.embed import EmbedSummary
from timbral.evaluation.list_evaluation import Evaluation

__all__ = ["NEXT_STEPS", "DemoResults"]

NEXT_STEPS = """\
Synthetic voices are cleaner than real ones: on 25 held-out speakers of speechocean762, real
recordings, the same encoder reached 7.5 % (see the README).
Open the map in a browser; a click on a point plays it. Next, your own recordings:
  timbral verify ONE.wav OTHER.wav
  timbral prepare MY_VOICES --output data"""


@dataclass(frozen=True)
class DemoResults:
    """The numbers of all steps, and the folder with all files."""

    folder: Path
    before: Evaluation
    """evaluation of the random initial weights"""
    after: Evaluation
    training: TrainSummary
    embedding: EmbedSummary

    def table(self) -> Table:
        """The numbers and the files, as a table for the terminal."""
        table = Table(title="Results", show_header=False, title_justify="left")
        table.add_column()
        table.add_column(overflow="fold")
        for name, value in self._rows().items():
            table.add_row(name, value)
        return table

    def _rows(self) -> dict[str, str]:
        trials = f"({self.after.num_trials:,} trials of held-out voices)"
        embedded = self.embedding
        speed = f", {embedded.times_real_time:.0f} × real time"
        return {
            "EER before training": f"{100 * self.before.eer:.1f} % {trials}",
            "EER after training": f"{100 * self.after.eer:.1f} % {trials}",
            "training": f"{self.training.step} steps in {self.training.seconds:.0f} s",
            "embedded": f"{embedded.num_utterances:,} utterances of {embedded.num_speakers} voices"
            + (speed if embedded.new_audio_seconds else ""),
            "checkpoint": str(self.training.checkpoint),
            "embeddings": f"{self.folder / 'embeddings'}/utterances.parquet, speakers.parquet",
            "map": f"{self.folder / 'map.html'}, map.png",
        }
