"""The public functions of `import timbral`, one per verb; each imports what it needs if called."""

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
    """Describe a corpus or prepared data, and what looks wrong in it.

    Args:
        source: a corpus folder, a table of utterances, a folder from `prepare`, precomputed mels,
            or utterances
        layout: layout of the corpus folder: ``folder`` (SPEAKER/[SESSION/]FILE), ``tree``,
            ``kaldi``, ``lhotse``, or a name from ``timbral corpora``; ``auto`` detects it
        output: a page (.html) with every suspicious recording; None: no page
        progress: called with the number of utterances inspected so far, and in all

    Raises DataError if the source cannot be read or has no utterances.
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
        source: a corpus folder, a table of utterances, a folder from `prepare`, … as for `inspect`;
            or utterances
        output: a file; for kaldi and lhotse a folder
        format: ``parquet``, ``csv``, ``tsv``, ``jsonl``, ``kaldi`` (a data directory), ``lhotse``
            (recordings and supervisions), ``cuts`` (Lhotse's CutSet) or ``nemo`` (JSON lines)
        layout: layout of the corpus folder

    Returns:
        the number of utterances written, and left out (some formats need durations)
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
    """Train an encoder on prepared data, or resume the run in `output`.

    Args:
        config: a TrainConfig from `load_config`, the name of a config (``timbral configs`` lists
            them), or the path of a YAML file
        data: a folder from `prepare`, or precomputed mels
        output: the run folder: config.yaml, metrics.jsonl, checkpoints, logs, plots
        exclude_speakers: speakers to leave out altogether: a file of ids, one per line
        validation_speakers: speakers held out for validation: a file of ids, or a number; ``auto``
            is a tenth of all, at most 20; 0 is no validation
        validation_data: prepared data for validation, instead of held-out speakers
        device: ``auto`` (the GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``
        workers: processes on this machine that split each batch; the result is the same
        init: an encoder (name, run or checkpoint folder) to initialize the weights from
        keep_classifier: also initialize the loss from `init`; the speakers must be the same
        keep_old: prepared data of other voices, which must not get worse than with `init`, nor must
            degraded copies of them: at the end the trained weights are averaged with those of
            `init` as far as needed
        teacher: the teacher of a distillation loss: an encoder as for `init`, or an exported file
        checkpoint_path: a checkpoint to resume from, with its step and optimizer, whatever is in
            `output`; data may differ. Excludes `init` and `force_restart`
        force_restart: rename an existing run in `output` (to OUTPUT.1) and train from the first
            step
        trackers: any of comet, mlflow, tensorboard, visualdl, wandb; metrics.jsonl is always
            written
        project: the project name in the trackers
        comet_key: API key for Comet; without it and COMET_API_KEY, Comet runs offline
        progress: called with every step, first with that from which training begins, and with its
            metrics (loss, batch_eer, val_eer, …), which are empty unless the step is logged or
            validated; before the steps also with `teacher_vectors`, after them with
            `weight_shares`, if these are computed: the fraction that is done

    Raises ConfigError for settings, DataError for data, CheckpointError for weights, and
    TrainingError if `output` holds another run or training diverges. Except for divergence,
    `output` is not touched before an error.
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
    """Run a training job in its number of processes; see `train` for the contents of a job."""
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
    """Write vectors for every utterance and speaker of a corpus, or resume such a job.

    Args:
        encoder: an Embedder, or anything that `load_encoder` takes
        source: a corpus folder or URL, a table of utterances, or prepared data
        output: a folder or URL for the files and the state of the job; unusable recordings are
            listed in its failures.jsonl
        layout: layout of the corpus folder, as for `inspect`
        pattern: only recordings whose name or end of path matches, such as ``*.wav``; None: all
        format: ``parquet`` (utterances.parquet, speakers.parquet), ``npy`` (PaddleSpeech),
            ``torch`` (ddvc), ``safetensors``, ``kaldi``, ``cosyvoice``, ``coqui`` or ``rtvc``
        model_name: name used in ddvc's file names; None: the encoder's name
        reuse: output of an earlier call with this encoder, in any format; recordings that were
            embedded there are not embedded again, also if their corpus was moved or is another
        engine: how to parallelize, such as ``timbral.Engine(workers=4)``; None: this process
        progress: called with utterances done, utterances in all, seconds of audio, and failures

    Raises:
        ConfigError: unknown format, layout or device
        DataError: the source cannot be read, `output` or `reuse` has vectors of other weights,
            `output` of another corpus, `reuse` of none of the recordings, or no recording could be
            used
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
