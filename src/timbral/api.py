"""What `import timbral` offers, a function a verb, which imports its rooms when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timbral.audio.preprocessing import Preprocessing as Preprocessing
    from timbral.audio.quality.measures import Quality as Quality
    from timbral.audio.quality.risks import Risk as Risk
    from timbral.bulk.audit_corpus import audit as audit
    from timbral.bulk.check_summary import Checked as Checked
    from timbral.bulk.check_summary import CheckSummary as CheckSummary
    from timbral.bulk.checks import check as check
    from timbral.bulk.embed import EmbedSummary as EmbedSummary
    from timbral.bulk.engines import Engine as Engine
    from timbral.bulk.shard_work import EmbedProgress
    from timbral.calibration.calibration import Calibration as Calibration
    from timbral.checkpoints.averaging import average as average
    from timbral.checkpoints.catalog import ModelInfo as ModelInfo
    from timbral.checkpoints.catalog import models as models
    from timbral.checkpoints.checkpoint import uninitialized_message as uninitialized_message
    from timbral.checkpoints.conversion import convert as convert
    from timbral.checkpoints.download import download as download
    from timbral.checkpoints.resolve import resolve as resolve
    from timbral.checkpoints.user_encoders import register_encoder as register_encoder
    from timbral.cloning.clone_similarity import SimilarityReport as SimilarityReport
    from timbral.cloning.clone_similarity import clone_similarity as clone_similarity
    from timbral.cloning.drift import VoiceDrift as VoiceDrift
    from timbral.cloning.drift import voice_drift as voice_drift
    from timbral.config.named import load_config as load_config
    from timbral.config.schema import TrainConfig as TrainConfig
    from timbral.data.inspect.inspection import Inspection as Inspection
    from timbral.data.manifest import Manifest
    from timbral.data.prepared.prepare import PrepareSummary as PrepareSummary
    from timbral.data.prepared.prepare import prepare as prepare
    from timbral.embeddings.clusters.cluster import ClusterSummary as ClusterSummary
    from timbral.embeddings.clusters.cluster import cluster as cluster
    from timbral.embeddings.importing import ImportSummary as ImportSummary
    from timbral.embeddings.importing import import_embeddings as import_embeddings
    from timbral.embeddings.similarity import similarity as similarity
    from timbral.embeddings.speaker_vectors import speakers as speakers
    from timbral.evaluation.calibrate import calibrate as calibrate
    from timbral.evaluation.evaluate import evaluate as evaluate
    from timbral.evaluation.list_evaluation import Evaluation as Evaluation
    from timbral.exporting.browser_page import BrowserPageSummary as BrowserPageSummary
    from timbral.exporting.browser_page import export_page as export_page
    from timbral.exporting.export_encoder import ExportSummary as ExportSummary
    from timbral.exporting.export_encoder import export as export
    from timbral.exporting.sherpa_file import export_for_sherpa as export_for_sherpa
    from timbral.gallery.gallery import Gallery as Gallery
    from timbral.gallery.identification import Identification as Identification
    from timbral.gallery.identifier import Identifier as Identifier
    from timbral.gallery.migrating import migrate_gallery as migrate_gallery
    from timbral.inference.decision import Decision as Decision
    from timbral.inference.embedder import Embedder as Embedder
    from timbral.inference.load import load_encoder as load_encoder
    from timbral.inference.pyannote_embedding import PyannoteEmbedding as PyannoteEmbedding
    from timbral.io.devices import pick_device as pick_device
    from timbral.io.types import Progress, StepProgress
    from timbral.losses.user_losses import register_loss as register_loss
    from timbral.reports.draw_map import map as map
    from timbral.reports.voice_map import PageSummary as PageSummary
    from timbral.scoring.balanced_trials import TrialSummary as TrialSummary
    from timbral.scoring.balanced_trials import trials as trials
    from timbral.scoring.comparison import Comparison as Comparison
    from timbral.scoring.comparison import compare as compare
    from timbral.scoring.vector_scores import ScoreSummary as ScoreSummary
    from timbral.scoring.vector_scores import score as score
    from timbral.training.train_job import TrainJob as TrainJob
    from timbral.training.train_job import TrainSummary as TrainSummary
    from timbral.training.train_options import TrainOptions as TrainOptions

__all__ = [
    "embed",
    "export_list",
    "inspect",
    "run_training",
    "train",
]

MODULES = {
    "BrowserPageSummary": "exporting.browser_page",
    "Calibration": "calibration.calibration",
    "CheckSummary": "bulk.check_summary",
    "Checked": "bulk.check_summary",
    "ClusterSummary": "embeddings.clusters.cluster",
    "Comparison": "scoring.comparison",
    "Decision": "inference.decision",
    "EmbedSummary": "bulk.embed",
    "Embedder": "inference.embedder",
    "Engine": "bulk.engines",
    "Evaluation": "evaluation.list_evaluation",
    "ExportSummary": "exporting.export_encoder",
    "Gallery": "gallery.gallery",
    "Identification": "gallery.identification",
    "Identifier": "gallery.identifier",
    "ImportSummary": "embeddings.importing",
    "Inspection": "data.inspect.inspection",
    "ModelInfo": "checkpoints.catalog",
    "PageSummary": "reports.voice_map",
    "PrepareSummary": "data.prepared.prepare",
    "Preprocessing": "audio.preprocessing",
    "PyannoteEmbedding": "inference.pyannote_embedding",
    "Quality": "audio.quality.measures",
    "Risk": "audio.quality.risks",
    "ScoreSummary": "scoring.vector_scores",
    "SimilarityReport": "cloning.clone_similarity",
    "TrainConfig": "config.schema",
    "TrainJob": "training.train_job",
    "TrainOptions": "training.train_options",
    "TrainSummary": "training.train_job",
    "TrialSummary": "scoring.balanced_trials",
    "VoiceDrift": "cloning.drift",
    "audit": "bulk.audit_corpus",
    "average": "checkpoints.averaging",
    "calibrate": "evaluation.calibrate",
    "check": "bulk.checks",
    "clone_similarity": "cloning.clone_similarity",
    "cluster": "embeddings.clusters.cluster",
    "compare": "scoring.comparison",
    "convert": "checkpoints.conversion",
    "download": "checkpoints.download",
    "evaluate": "evaluation.evaluate",
    "export": "exporting.export_encoder",
    "export_for_sherpa": "exporting.sherpa_file",
    "export_page": "exporting.browser_page",
    "import_embeddings": "embeddings.importing",
    "load_config": "config.named",
    "load_encoder": "inference.load",
    "map": "reports.draw_map",
    "migrate_gallery": "gallery.migrating",
    "models": "checkpoints.catalog",
    "pick_device": "io.devices",
    "prepare": "data.prepared.prepare",
    "register_encoder": "checkpoints.user_encoders",
    "register_loss": "losses.user_losses",
    "resolve": "checkpoints.resolve",
    "score": "scoring.vector_scores",
    "similarity": "embeddings.similarity",
    "speakers": "embeddings.speaker_vectors",
    "trials": "scoring.balanced_trials",
    "uninitialized_message": "checkpoints.checkpoint",
    "voice_drift": "cloning.drift",
}
"""where names that need no composing lie; they are imported when they are first asked for"""


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"timbral.{MODULES[name]}"), name)


def inspect(
    source: str | Path | Manifest,
    *,
    layout: str = "auto",
    output: str | Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Inspection:
    """Show what a corpus or prepared data holds, and what looks wrong in it.

    Args:
        source: a corpus's folder, a table of utterances, a folder that `prepare` made, or
            precomputed mels; or utterances
        layout: how a corpus's folder is laid out: ``folder`` (SPEAKER/[SESSION/]FILE), ``tree``,
            ``kaldi``, ``lhotse``, or a name that ``timbral corpora`` lists; ``auto`` recognizes it
        output: a page (.html) with every suspicious recording; None: no page
        progress: called with the utterances looked at so far, and their number

    Raises DataError when the source cannot be read or holds no utterance.
    """
    from timbral.data.inspect.inspection import inspect_data
    from timbral.io.outputs import claim_file
    from timbral.reports.inspection_page import INSPECTION_PAGE, write_inspection

    if output is not None:
        claim_file(Path(output), INSPECTION_PAGE, _paths(source))
    inspection = inspect_data(source, layout, progress)
    if output is not None:
        write_inspection(inspection, Path(output))
    return inspection


def _paths(source: str | Path | Manifest) -> list[str | Path]:
    return [source] if isinstance(source, str | Path) else []


def export_list(
    source: str | Path | Manifest,
    output: str | Path,
    *,
    format: str = "parquet",
    layout: str = "auto",
) -> tuple[int, int]:
    """Write the list of a source's utterances for other tools.

    Args:
        source: a corpus's folder, a table of utterances, a folder that `prepare` made, …, as
            `inspect` takes it; or utterances
        output: a file; for kaldi and lhotse a folder
        format: ``parquet``, ``csv``, ``tsv``, ``jsonl``, ``kaldi`` (a data directory), ``lhotse``
            (recordings and supervisions), ``cuts`` (Lhotse's CutSet) or ``nemo`` (JSON lines)
        layout: how a corpus's folder is laid out

    Returns:
        how many utterances were written, and how many were not (some formats want durations)
    """
    from timbral.data.lists.export import claim_list, write_list
    from timbral.data.manifest import Manifest
    from timbral.data.sources import find_utterances

    utterances = source if isinstance(source, Manifest) else find_utterances(source, layout)
    claim_list(Path(output), format, _paths(source))
    return write_list(utterances, Path(output), format)


def train(
    config: TrainConfig | str | Path,
    data: str | Path,
    output: str | Path,
    *,
    exclude_speakers: str | Path | None = None,
    validation_speakers: str | Path | int = "auto",
    validation_data: str | Path | None = None,
    device: str = "auto",
    workers: int = 1,
    init: str | Path | None = None,
    keep_classifier: bool = False,
    keep_old: str | Path | Sequence[str | Path] = (),
    teacher: str | Path | None = None,
    checkpoint_path: str | Path | None = None,
    force_restart: bool = False,
    trackers: Sequence[str] = (),
    project: str = "timbral",
    comet_key: str = "",
    progress: StepProgress | None = None,
) -> TrainSummary:
    """Train one encoder on prepared data; a run folder that holds this run is resumed.

    Args:
        config: a TrainConfig, as `load_config` gives it; the name of a config that comes with
            timbral (``timbral configs`` lists them); or the path of a YAML file
        data: a folder that `prepare` made, or precomputed mels
        output: the run folder: config.yaml, metrics.jsonl, checkpoints, logs, plots
        exclude_speakers: a file of speaker ids, one a line, that are never read
        validation_speakers: speakers kept from training to validate on: a file of ids, or how
            many; ``auto`` is a tenth of them, 20 at most; 0 is no validation
        validation_data: other prepared data to validate on, instead of such speakers
        device: ``auto`` (the GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``
        workers: processes of this machine that share each batch, to the same result
        init: an encoder (name, run or checkpoint folder) whose weights training begins with
        keep_classifier: begin with the loss of `init` too; the speakers must be the same
        keep_old: prepared data of other voices, which must not get worse than with `init`: the
            share of the trained weights that the run ends with is chosen on both kinds of voices
        teacher: an encoder, as `init` or an exported file, whose vectors the loss compares with
        checkpoint_path: a checkpoint to resume from, step and optimizer included, whatever `output`
            holds, maybe with other data; goes with neither `init` nor `force_restart`
        force_restart: rename a run that is in `output` (to OUTPUT.1), and train from the first step
        trackers: any of comet, mlflow, tensorboard, visualdl, wandb, besides metrics.jsonl
        project: the run's project in its trackers
        comet_key: for Comet; without it, and without COMET_API_KEY, Comet works offline
        progress: called with the step and its numbers: loss, batch_eer, val_eer, …

    Raises ConfigError for settings, DataError for data, CheckpointError for weights, TrainingError
    when `output` holds another run or training diverges; all but that before `output` is touched.
    """
    from timbral.config.named import load_config
    from timbral.training.train_job import TrainJob
    from timbral.training.train_options import TrainOptions

    others = [keep_old] if isinstance(keep_old, str | Path) else keep_old
    options = TrainOptions(
        exclude_speakers=_path(exclude_speakers),
        validation_speakers=str(validation_speakers),
        validation_data=_path(validation_data),
        device=device,
        workers=workers,
        init=None if init is None else str(init),
        keep_classifier=keep_classifier,
        keep_old=tuple(Path(folder) for folder in others),
        teacher=None if teacher is None else str(teacher),
        checkpoint_path=_path(checkpoint_path),
        force_restart=force_restart,
        trackers=tuple(trackers),
        project=project,
    )
    settings = load_config(config) if isinstance(config, str | Path) else config
    return run_training(TrainJob(settings, Path(data), Path(output), options, comet_key), progress)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def run_training(job: TrainJob, progress: StepProgress | None = None) -> TrainSummary:
    """Do a job, in as many processes as it asks for; `train` describes what a job is made of."""
    from timbral.io.devices import pick_device
    from timbral.training.launch import check_processes, launch
    from timbral.training.session import run_job

    told = progress or (lambda step, values: None)
    if job.options.workers == 1:
        return run_job(job, told)
    check_processes(job.options.workers, pick_device(job.options.device or "auto"))
    return launch(job.options.workers, run_job, job, told)


def embed(
    encoder: Embedder | str | Path,
    source: str | Path,
    output: str | Path,
    *,
    layout: str = "auto",
    pattern: str | None = None,
    format: str = "parquet",
    model_name: str | None = None,
    reuse: str | Path | None = None,
    engine: Engine | None = None,
    progress: EmbedProgress | None = None,
) -> EmbedSummary:
    """Vectors of every utterance and every speaker of a corpus, in files; a killed job is resumed.

    Args:
        encoder: an Embedder, or what `load_encoder` takes
        source: a corpus's folder or URL, a table of utterances, or prepared data
        output: a folder or URL, of the files and of what is done so far. Recordings that cannot be
            used are listed in its failures.jsonl
        layout: how a corpus's folder is laid out, as for `inspect`
        pattern: only recordings whose name or end of path fits it, such as ``*.wav``; None: all
        format: ``parquet`` (utterances.parquet, speakers.parquet), ``npy`` (PaddleSpeech),
            ``torch`` (ddvc), ``safetensors``, ``kaldi``, ``cosyvoice``, ``coqui`` or ``rtvc``
        model_name: in ddvc's file names; None: the encoder's name
        reuse: where an earlier call left the vectors of this encoder and corpus, in any format;
            only what is new or changed is embedded
        engine: who computes, such as ``timbral.Engine(workers=4)``; None: this process
        progress: called with utterances done, all of them, seconds of audio, and failures

    Raises:
        ConfigError: unknown format, layout or device
        DataError: the source cannot be read, `output` or `reuse` holds vectors of other weights or
            of another corpus, or no recording could be used
        CheckpointError: the encoder cannot be loaded
    """
    from timbral.bulk.embed import embed_corpus
    from timbral.bulk.engines import DEFAULT_ENGINE
    from timbral.data.sources import find_utterances
    from timbral.inference.load import embedder_of

    return embed_corpus(
        embedder_of(encoder),
        find_utterances(source, layout, pattern, mel_files=True),
        source,
        output,
        format=format,
        model_name=model_name,
        reuse=reuse,
        engine=engine or DEFAULT_ENGINE,
        progress=progress or (lambda done, total, seconds, failures: None),
    )
