"""Processes that compute vectors: options of the verbs that embed many recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from timbral.cli.common_options import RunningOptions, option
from timbral.errors import ConfigError

if TYPE_CHECKING:
    from timbral.bulk.engines import Engine

__all__ = ["DEFAULT_ENGINE", "EngineChoice", "EngineOptions"]


@dataclass(frozen=True)
class EngineOptions:
    """Who computes, and how many of them."""

    workers: Annotated[
        int | None,
        option(
            "N",
            "processes with one core each, or Ray actors; default: chosen by the size of the job",
        ),
    ] = None
    engine: Annotated[
        Literal["local", "ray"], option(None, "ray runs on a cluster with Ray Data")
    ] = "local"
    ray_address: Annotated[
        str | None,
        option("ADDRESS", "address of a running Ray cluster; default: start one on this machine"),
    ] = None
    strict: Annotated[bool, option(None, "stop at the first recording that cannot be used")] = False

    def engine_for(self, running: RunningOptions) -> Engine:
        """The Engine of these options.

        A user's own encoder class runs in this process only; raises ConfigError for such a class
        together with other processes.
        """
        from timbral.bulk.engines import Engine

        workers = self.workers
        if running.encoder_class:
            if self.engine == "ray" or (workers or 1) > 1:
                raise ConfigError(
                    "--encoder-class runs in this process: leave out --workers and --engine"
                )
            workers = 1
        return Engine(self.engine, workers, self.ray_address, self.strict)


EngineChoice = Annotated[EngineOptions, arg(name="")]
DEFAULT_ENGINE = EngineOptions()
