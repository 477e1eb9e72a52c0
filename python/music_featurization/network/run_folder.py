"""The folder of a training run: whether it contains this run or another, its beginning, the space that it needs."""

import shutil
from pathlib import Path

from music_featurization.artifacts import (
    TRAINING,
    Artifacts,
    PipelineError,
    read_json,
    remove_unfinished,
    require_same_settings,
    write_json,
)
from music_featurization.network import checkpoints, history, run_state


def is_finished(artifacts: Artifacts, settings: dict, overwrite: bool) -> bool:
    """Return whether the run with these settings is already finished; change nothing.

    Raises
    ------
    PipelineError
        If the folder contains checkpoints of a run with other settings and `overwrite` is not set.
    """
    models, record = artifacts.models, artifacts.training_settings
    state = models / run_state.STATE
    files = [*checkpoints.list_files(models), *(path for path in (artifacts.history, state) if path.exists())]
    if overwrite or not files:
        return False
    if not record.exists():
        raise PipelineError(f"{models} contains checkpoints of an unknown run. Move them, or give --overwrite.")
    require_same_settings(models, read_json(record, f"{TRAINING} --overwrite", settings=dict)["settings"], settings)
    if state.exists():
        return False
    done = history.read(artifacts.history) if artifacts.history.exists() else {}
    if run_state.is_complete(done, settings["epochs"], settings["early_stop"]):
        return True
    raise PipelineError(
        f"{models} contains {len(done.get('val_loss', []))} of {settings['epochs']} epochs, but not the state to "
        "continue from. Give --overwrite to train from the beginning."
    )


def begin(artifacts: Artifacts, settings: dict, versions: dict, overwrite: bool) -> None:
    """Remove an earlier run if `overwrite` is set, and write the settings of this one."""
    remove_unfinished(artifacts.models)
    state = artifacts.models / run_state.STATE
    if overwrite:
        for path in [*checkpoints.list_files(artifacts.models), artifacts.history, state]:
            path.unlink(missing_ok=True)
    if not state.exists():
        write_json(artifacts.training_settings, {"settings": settings, "versions": versions})


def check_disk(models: Path, megabytes_each: float, epochs: int) -> None:
    """Raise a PipelineError if the checkpoints of all epochs do not fit on the disk."""
    existing = next(folder for folder in [Path(models), *Path(models).parents] if folder.exists())
    needed, free = megabytes_each * (epochs + 4), shutil.disk_usage(existing).free / 1e6
    if needed > free:
        raise PipelineError(
            f"{epochs} checkpoints need {needed:,.0f} MB, but only {free:,.0f} MB are free at {models}. "
            "Free some space, or give --keep best or fewer --epochs."
        )
