"""Ray Tune: ``experiment_state-TIME.json`` in an experiment's folder; in a trial's ``params.json`` and ``result.json``.

The state lists every trial with its status. A trial alone says ``done`` in its last result, if its function does, and
leaves ``error.txt`` when it failed.
"""

from __future__ import annotations

import re

from sealrun.domain.presets.looking import Facts, Look, Preset, running, silent
from sealrun.domain.presets.tables import last_of_json_lines
from sealrun.domain.records import JsonObject
from sealrun.domain.runs.declarations import MAX_RECORD_BYTES, bounded, parse_time, read_json
from sealrun.domain.runs.run import Status
from sealrun.domain.watches.settling import FrameworkStatus

_STATE = re.compile(r"experiment_state-[^/]+\.json\Z")
_STATE_BYTES = 16 << 20
_TRIAL = {"params.json", "result.json"}
_ENDED = {"TERMINATED", "ERROR"}
_NOT_METRICS = {"config", "date", "hostname", "node_ip", "pid", "trial_id", "checkpoint_dir_name", "experiment_tag"}
_OF_EVERY_TRIAL = {
    "timestamp",
    "time_this_iter_s",
    "time_since_restore",
    "iterations_since_restore",
    "should_checkpoint",
}
_PICKLED = "CLOUDPICKLE_FALLBACK"


def _status(look: Look) -> FrameworkStatus | None:
    state = _state(look)
    if state is not None:
        return _experiment(look, state)
    return _trial(look) if look.files.keys() >= _TRIAL else None


def _experiment(look: Look, path: str) -> FrameworkStatus:
    """While trials are still to be made all may have ended for a moment, so the whole settle time is waited for."""
    words = [trial.get("status") for trial, _ in _trials(look, path)]
    if not words:
        return silent("ray-tune", f"{path}: holds no trials that could be read")
    open_trials = sum(word not in _ENDED for word in words)
    if open_trials:
        return running(
            "ray-tune", f"{path}: {open_trials} of {len(words)} trials have not ended", "TERMINATED or ERROR"
        )
    failed = words.count("ERROR")
    status: Status = "success" if not failed else "failed" if failed == len(words) else "partial"
    evidence = f"{path}: {len(words)} trials ended, {failed} of them with an error"
    return FrameworkStatus(framework="ray-tune", state="finished", evidence=evidence, status=status, wait="settle")


def _trial(look: Look) -> FrameworkStatus | None:
    last = last_of_json_lines(look, "result.json")
    if last is not None and "trial_id" not in last:
        return None
    if "error.txt" in look.files:
        return FrameworkStatus(framework="ray-tune", state="finished", evidence="error.txt", status="failed")
    if last is not None and last.get("done") is True:
        evidence = "result.json: done"
        return FrameworkStatus(framework="ray-tune", state="finished", evidence=evidence, status="success")
    return silent("ray-tune", "result.json", "this trial does not say that it is done, so quiet decides")


def _facts(look: Look) -> Facts:
    state = _state(look)
    if state is None:
        last = last_of_json_lines(look, "result.json") or {}
        trial, params = last.get("trial_id"), read_json(look.read("params.json", MAX_RECORD_BYTES))
        return Facts(
            run=trial if isinstance(trial, str) else None,
            finished_at=parse_time(last.get("timestamp")),
            params=bounded(_without_pickles(params)),
            metrics=bounded({key: item for key, item in last.items() if key not in _NOT_METRICS}),
        )
    trials = _trials(look, state)
    starts = [runtime.get("start_time") for _, runtime in trials]
    times = [time for time in starts if isinstance(time, int | float) and parse_time(time) is not None]
    ended = [trial.get("status") for trial, _ in trials]
    lasts = [runtime.get("last_result_time") for _, runtime in trials]
    ends = [time for time in lasts if isinstance(time, int | float) and parse_time(time) is not None]
    over = ended and all(word in _ENDED for word in ended)
    names = {name for trial, _ in trials if isinstance(name := trial.get("trainable_name"), str) and name}
    return Facts(
        started_at=parse_time(min(times)) if times else None,
        finished_at=parse_time(max(ends)) if ends and over else None,
        pipeline_id=min(names, default=None),
        params=bounded({f"{trial.get('trial_id')}": _without_pickles(trial.get("config")) for trial, _ in trials}),
        metrics=_metrics(trials),
    )


def _metrics(trials: list[tuple[JsonObject, JsonObject]]) -> JsonObject | None:
    """Return how many trials there are and failed, and the last result of each as far as there is room."""
    if not trials:
        return None
    counts: JsonObject = {
        "trials": len(trials),
        "trials_failed": sum(one.get("status") == "ERROR" for one, _ in trials),
    }
    return bounded(counts | {f"{trial.get('trial_id')}": _last_result(runtime) for trial, runtime in trials})


def _last_result(runtime: JsonObject) -> JsonObject:
    last = runtime.get("last_result")
    unwanted = _NOT_METRICS | _OF_EVERY_TRIAL
    return {key: item for key, item in last.items() if key not in unwanted} if isinstance(last, dict) else {}


def _without_pickles(value: object) -> object:
    """Name what Ray could only pickle, instead of handing its bytes on."""
    if isinstance(value, dict):
        if value.get("_type") == _PICKLED:
            return "(an object of Python)"
        return {key: _without_pickles(item) for key, item in value.items()}
    return [_without_pickles(item) for item in value] if isinstance(value, list) else value


def _state(look: Look) -> str | None:
    """Return the newest state; a resumed experiment has several, and their names sort by time."""
    return max((path for path in look.top if _STATE.match(path)), default=None)


def _trials(look: Look, path: str) -> list[tuple[JsonObject, JsonObject]]:
    """Return what is fixed of each trial and what changes; both are JSON inside JSON."""
    value = read_json(look.read(path, _STATE_BYTES))
    pairs = value.get("trial_data") if isinstance(value, dict) else None
    found: list[tuple[JsonObject, JsonObject]] = []
    for pair in pairs if isinstance(pairs, list) else []:
        parts = [read_json(part.encode()) for part in pair if isinstance(part, str)] if isinstance(pair, list) else []
        fixed, changing = (*parts, None, None)[:2]
        if isinstance(fixed, dict):
            found.append((fixed, changing if isinstance(changing, dict) else {}))
    return found


RAY_TUNE = Preset(name="ray-tune", status=_status, facts=_facts)
