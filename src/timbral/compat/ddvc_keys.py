"""What ddvc's keys are called here, and what they are when its file has not got them."""

from __future__ import annotations

from typing import Any

__all__ = ["DEFAULTS", "IN_BATCHES", "NEVER", "PATHS", "REQUIRED", "SAME", "SPELLINGS", "UNCHANGED"]

NEVER: dict[str, int | None] = {
    "trainer.validate_every": 10**12,
    "trainer.save_every": 10**12,
    "trainer.log_every": 10**12,
    "tracking.plot_every": None,
    "tracking.validation_plot_every": None,
}
"""what A's 0 is here: not in any number of steps, or not at all"""

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
"""what a key is when the file has not got it; model_name and train_data_root it must have"""

SAME = {
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
"""the same value under another name"""

IN_BATCHES = (
    "trainer.log_every",
    "trainer.validate_every",
    "trainer.save_every",
    "schedule.plateau_every",
    "tracking.plot_every",
    "tracking.audio_every",
    "tracking.validation_plot_every",
)
"""what A counts in batches, where timbral counts steps of the optimizer"""

PATHS = {"noises": "noise", "musics": "music", "reverbs": "rooms"}
"""A's folders of sounds, and timbral's sections of them"""

SPELLINGS = {
    **{f"augment_{name.removesuffix('s')}_paths": f"augment_{name}_paths" for name in PATHS},
    "accumulate_gradient_every_scheduler": "accumalate_gradient_every_scheduler",
}
"""of A's README, or what was meant"""

UNCHANGED = {
    "model_sample_rate": "16 kHz, as every encoder here",
    "val_max_epochs": "validation judges all its recordings by trials drawn once",
    "val_speakers_per_batch": "validation judges trials, not batches",
    "val_utterances_per_speaker": "validation judges trials, not batches",
    "backup_every": "every checkpoint is whole; how many are kept: trainer.keep_*",
    "aug_device": "augmentation runs where training does",
    "num_workers": "one thread makes the batches ahead; their number changes nothing",
    "activation_function": "none: the loss is GE2E softmax",
}
"""keys that set nothing, and why"""

REQUIRED = {"model_sample_rate": (16_000,), "activation_function": (None,)}
"""keys that may only have these values"""
