"""Hugging Face's ``Trainer``: results that a script saves at the end, and the state in each checkpoint.

``all_results.json`` is written when training is over and again after each evaluation, so the whole settle time is
waited for. A script that saves no results is done when a checkpoint says that its training stopped.
"""

from __future__ import annotations

import re

from sealrun.domain.presets.looking import Facts, Look, Preset, running, silent
from sealrun.domain.records import JsonObject
from sealrun.domain.runs.declarations import MAX_RECORD_BYTES, bounded, read_json
from sealrun.domain.watches.settling import FrameworkStatus

_ALL = "all_results.json"
_STATE = "trainer_state.json"
_CONFIG = "config.json"
_CHECKPOINT = re.compile(r"checkpoint-([0-9]{1,12})\Z")
_IN_CHECKPOINTS = {"optimizer.pt", "optimizer.bin", "scheduler.pt", "rng_state.pth"}
_SAVED = "training_args.bin"
"""``trainer.save_model()`` leaves it at the top, and so does pushing each checkpoint to a hub."""
_STATE_BYTES = 16 << 20
_MAX_STEPS = 10**15
_MAX_HISTORY = 1000
_SETTINGS = ("max_steps", "num_train_epochs", "train_batch_size", "logging_steps", "eval_steps", "save_steps")


def _status(look: Look) -> FrameworkStatus | None:
    path = _state_path(look)
    goes_on = path is not None and path != _STATE and _STATE in look.files
    if _ALL in look.files and not goes_on and (path is not None or "train_results.json" in look.files):
        return _finished(_ALL)
    if path is None:
        saved = _SAVED in look.files and _CONFIG in look.files
        awaits = "a model is saved, and nothing else, so quiet decides"
        return silent("hf-trainer", f"{_SAVED} and {_CONFIG} are there", awaits) if saved else None
    if path == _STATE and not look.files.keys().isdisjoint(_IN_CHECKPOINTS):
        awaits = "this is a checkpoint and no run, its run is the folder above, so quiet decides"
        return silent("hf-trainer", f"{_STATE} beside an optimizer's state", awaits)
    return _of_state(look, path)


def _of_state(look: Look, path: str) -> FrameworkStatus:
    state = _read(look, path, _STATE_BYTES)
    step, steps = state.get("global_step"), state.get("max_steps")
    if not isinstance(step, int) or not isinstance(steps, int) or max(abs(step), abs(steps)) > _MAX_STEPS:
        return silent("hf-trainer", f"{path}: absent, too large or without steps")
    if path == _STATE or _stopped(state) or 0 < steps <= step:
        return _finished(f"{path}: step {step} of {steps}")
    if _SAVED in look.files:
        awaits = "a model is saved at the top, and no results or last checkpoint, so quiet decides"
        return silent("hf-trainer", f"{path}: step {step} of {steps}", awaits)
    return running("hf-trainer", f"{path}: step {step} of {steps}", f"{_ALL}, or a checkpoint of the last step")


def _finished(evidence: str) -> FrameworkStatus:
    return FrameworkStatus(framework="hf-trainer", state="finished", evidence=evidence, status="success", wait="settle")


def _state_path(look: Look) -> str | None:
    """Return the newest state: the one at the top, which is saved at the end, or the last checkpoint's.

    A checkpoint that is ahead of the one at the top was saved by a training that goes on from there.
    """
    newest = _newest_checkpoint(look)
    if _STATE in look.files:
        step = _read(look, _STATE, _STATE_BYTES).get("global_step")
        if newest is None or not isinstance(step, int) or newest[0] <= step:
            return _STATE
    return f"{newest[1]}/{_STATE}" if newest is not None else None


def _newest_checkpoint(look: Look) -> tuple[int, str] | None:
    steps = [(int(match[1]), name) for name in look.top if (match := _CHECKPOINT.match(name))]
    return max((each for each in steps if not look.files.keys().isdisjoint(_files_in(each[1]))), default=None)


def _files_in(checkpoint: str) -> set[str]:
    return {f"{checkpoint}/{_STATE}", f"{checkpoint}/training_args.bin"}


def _stopped(state: JsonObject) -> bool:
    """Tell whether the callbacks' control says so, as it does in the checkpoint of an early stop."""
    found: object = state
    for key in ("stateful_callbacks", "TrainerControl", "args"):
        found = found.get(key) if isinstance(found, dict) else None
    return isinstance(found, dict) and found.get("should_training_stop") is True


def _facts(look: Look) -> Facts:
    path = _state_path(look)
    state = _read(look, path, _STATE_BYTES) if path is not None else {}
    results = _read(look, _ALL, MAX_RECORD_BYTES)
    history = state.get("log_history")
    last: JsonObject = {}
    for line in history[-_MAX_HISTORY:] if isinstance(history, list) else []:
        last |= line if isinstance(line, dict) else {}
    newest = _newest_checkpoint(look)
    folder = "" if _CONFIG in look.files or newest is None else f"{newest[1]}/"
    version = _read(look, folder + _CONFIG, MAX_RECORD_BYTES).get("transformers_version")
    best = state.get("best_metric")
    last |= {"best_metric": best} if isinstance(best, int | float) else {}
    notes = (f"{_ALL}: not used, it is too large or not a JSON object",) if _ALL in look.files and not results else ()
    return Facts(
        version=version if isinstance(version, str) and version else None,
        params=bounded({key: state[key] for key in _SETTINGS if state.get(key) is not None}),
        metrics=bounded(results or last),
        notes=notes,
    )


def _read(look: Look, path: str, limit: int) -> JsonObject:
    value = read_json(look.read(path, limit))
    return value if isinstance(value, dict) else {}


HF_TRAINER = Preset(name="hf-trainer", status=_status, facts=_facts)
