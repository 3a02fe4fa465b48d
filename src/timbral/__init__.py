"""timbral: train, evaluate and run speaker encoders.

>>> import timbral
>>> encoder = timbral.load_encoder()  # the one that ships with timbral  # doctest: +SKIP
>>> encoder.encode(["a.wav", "b.wav"]).shape  # doctest: +SKIP
(2, 192)
>>> encoder.verify("a.wav", "b.wav").score  # doctest: +SKIP
0.83

Vectors: load_encoder (returns an Embedder), similarity, embed, speakers, cluster, audit,
    map, import_embeddings, PyannoteEmbedding
Data: prepare, inspect, export_list
Training: train, load_config, average, register_encoder, register_loss
Evaluation: trials, evaluate, score, compare, calibrate
Cloned voices: clone_similarity, voice_drift
Decisions: check, Gallery, Identifier, migrate_gallery
Weights: models, download, convert, export, export_for_sherpa, export_page

Importing timbral is instant: torch is loaded on first use, and nothing is downloaded unless you ask
for it. All errors are subclasses of TimbralError; their messages say what was given, what is
allowed and what to do.
"""

from __future__ import annotations

from timbral.version import __version__

TYPE_CHECKING = False
"""true for type checkers; importing typing would delay the answer to Ctrl-C"""
if TYPE_CHECKING:
    from timbral.api import (
        BrowserPageSummary,
        Calibration,
        Checked,
        CheckSummary,
        ClusterSummary,
        Comparison,
        Decision,
        Embedder,
        EmbedSummary,
        Engine,
        Evaluation,
        ExportSummary,
        Gallery,
        Identification,
        Identifier,
        ImportSummary,
        Inspection,
        ModelInfo,
        PageSummary,
        PrepareSummary,
        Preprocessing,
        PyannoteEmbedding,
        Quality,
        Risk,
        ScoreSummary,
        SimilarityReport,
        TrainConfig,
        TrainSummary,
        TrialSummary,
        VoiceDrift,
        audit,
        average,
        calibrate,
        check,
        clone_similarity,
        cluster,
        compare,
        convert,
        download,
        embed,
        evaluate,
        export,
        export_for_sherpa,
        export_list,
        export_page,
        import_embeddings,
        inspect,
        load_config,
        load_encoder,
        map,
        migrate_gallery,
        models,
        prepare,
        register_encoder,
        register_loss,
        score,
        similarity,
        speakers,
        train,
        trials,
        voice_drift,
    )
    from timbral.errors import (
        AudioError,
        CheckpointError,
        ConfigError,
        DataError,
        EnrollmentError,
        InputError,
        MissingExtraError,
        Refusal,
        TimbralError,
        TrainingError,
        UnavailableError,
    )

__all__ = [
    "AudioError",
    "BrowserPageSummary",
    "Calibration",
    "CheckSummary",
    "Checked",
    "CheckpointError",
    "ClusterSummary",
    "Comparison",
    "ConfigError",
    "DataError",
    "Decision",
    "EmbedSummary",
    "Embedder",
    "Engine",
    "EnrollmentError",
    "Evaluation",
    "ExportSummary",
    "Gallery",
    "Identification",
    "Identifier",
    "ImportSummary",
    "InputError",
    "Inspection",
    "MissingExtraError",
    "ModelInfo",
    "PageSummary",
    "PrepareSummary",
    "Preprocessing",
    "PyannoteEmbedding",
    "Quality",
    "Refusal",
    "Risk",
    "ScoreSummary",
    "SimilarityReport",
    "TimbralError",
    "TrainConfig",
    "TrainSummary",
    "TrainingError",
    "TrialSummary",
    "UnavailableError",
    "VoiceDrift",
    "__version__",
    "audit",
    "average",
    "calibrate",
    "check",
    "clone_similarity",
    "cluster",
    "compare",
    "convert",
    "download",
    "embed",
    "evaluate",
    "export",
    "export_for_sherpa",
    "export_list",
    "export_page",
    "import_embeddings",
    "inspect",
    "load_config",
    "load_encoder",
    "map",
    "migrate_gallery",
    "models",
    "prepare",
    "register_encoder",
    "register_loss",
    "score",
    "similarity",
    "speakers",
    "train",
    "trials",
    "voice_drift",
]


def __getattr__(name: str) -> object:  # torch is imported when it is first needed
    if name not in __all__:
        raise AttributeError(f"module 'timbral' has no attribute {name!r}")
    from timbral import api, errors

    return getattr(errors if hasattr(errors, name) else api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
