"""The keys of ddvc's config: their names in timbral, and their default values."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ALLOWED_VALUES",
    "AUGMENT_SECTIONS",
    "COUNTED_IN_BATCHES",
    "DEFAULTS",
    "IGNORED_KEYS",
    "OPTIONAL_TYPES",
    "RENAMED_KEYS",
    "SPELLINGS",
    "ZERO_VALUES",
]

ZERO_VALUES: dict[str, int | None] = {
    "trainer.validate_every": 10**12,
    "trainer.save_every": 10**12,
    "trainer.log_every": 10**12,
    "tracking.plot_every": None,
    "tracking.validation_plot_every": None,
}
"""values in timbral for ddvc's 0, which means never: more steps than any run has, or None"""

DEFAULTS: dict[str, Any] = {
    "run_id": "run",
    "val_data_root": None,
    "multi_rec_session": False,
    "window_size_s": 2,
    "num_epochs": 100,
    "comet_key": None,
    "comet_project": None,
    "vis_train_art_every": 5,
    "vis_train_metrics_every": 1,
    "val_every": 25,
    "vis_val_art_every": 5,
    "save_every": 25,
    "scheduler_factor": 0.6,
    "scheduler_patience": 3,
    "weight_decay": 0,
    "force_restart": True,
    "device": "cpu",
    "speakers_per_batch": 6,
    "utterances_per_speaker": 8,
    "learning_rate_init": 1e-6,
    "use_data_augmentation": True,
    "augment_noises_paths": [],
    "augment_musics_paths": [],
    "augment_reverbs_paths": [],
    "data_parallel": None,
    "annote_point": False,
    "train_only_head": False,
    "enlarge_head": False,
    "scheduler_metrics": "train_loss",
    "scheduler_metrics_avg_every": None,
    "accumalate_gradient_every_scheduler": False,
}
"""default values of keys; model_name and train_data_root are required"""

OPTIONAL_TYPES: dict[str, type] = {
    "val_data_root": str,
    "comet_key": str,
    "comet_project": str,
    "data_parallel": list,
    "scheduler_metrics_avg_every": int,
}
"""types of values other than null, for keys whose default is null"""

RENAMED_KEYS = {
    "window_size_s": "data.crop_seconds",
    "speakers_per_batch": "data.speakers_per_batch",
    "utterances_per_speaker": "data.utterances_per_speaker",
    "learning_rate_init": "optimizer.learning_rate",
    "weight_decay": "optimizer.weight_decay",
    "vis_train_metrics_every": "trainer.log_every",
    "val_every": "trainer.validate_every",
    "save_every": "trainer.save_every",
    "scheduler_factor": "schedule.plateau_factor",
    "scheduler_patience": "schedule.plateau_patience",
    "scheduler_metrics_avg_every": "schedule.plateau_every",
    "vis_train_art_every": "tracking.plot_every",
    "vis_val_art_every": "tracking.validation_plot_every",
    "annote_point": "tracking.label_points",
}
"""keys with the same value under another name"""

COUNTED_IN_BATCHES = (
    "trainer.log_every",
    "trainer.validate_every",
    "trainer.save_every",
    "schedule.plateau_every",
    "tracking.plot_every",
    "tracking.audio_every",
    "tracking.validation_plot_every",
)
"""keys that count batches in ddvc, and optimizer steps in timbral"""

AUGMENT_SECTIONS = {"noises": "noise", "musics": "music", "reverbs": "rir"}
"""ddvc's folders of noise, music and RIRs, and timbral's sections for them"""

SPELLINGS = {
    **{
        f"augment_{name.removesuffix('s')}_paths": f"augment_{name}_paths"
        for name in AUGMENT_SECTIONS
    },
    "accumulate_gradient_every_scheduler": "accumalate_gradient_every_scheduler",
}
"""spellings in ddvc's README, and the correct one, with those that its code reads"""

IGNORED_KEYS = {
    "model_sample_rate": "16 kHz, as in every encoder of timbral",
    "val_max_epochs": "validation scores trials of all its recordings, drawn once",
    "val_speakers_per_batch": "validation scores trials, not batches",
    "val_utterances_per_speaker": "validation scores trials, not batches",
    "backup_every": "every checkpoint is whole; how many are kept: trainer.keep_last_n",
    "aug_device": "augmentation runs where training does",
    "num_workers": "one thread makes the batches ahead; their number changes nothing",
    "activation_function": "none: the loss is GE2E softmax",
}
"""keys without effect, and why"""

ALLOWED_VALUES = {"model_sample_rate": (16_000,), "activation_function": (None,)}
"""keys that may only have these values"""
