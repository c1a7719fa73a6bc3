"""MCMC traces, analysed: ``traces_raw.json`` becomes ``trace.nc``, ``analysis.json`` and plots.

Needs ``sealrun[mcmc]``. ``traces_raw.json`` is an object of arrays, chains x draws, one for each quantity:
``{"llc": [[…], […]], …}``. Names known as statistics of the sampler (`SAMPLE_STATS`) go with the draws, all others are
what was sampled.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

TRACES = "traces_raw.json"
SAMPLE_STATS = frozenset(
    {"acceptance_rate", "cumulative_fge", "cumulative_time", "diverging", "energy", "lp", "step_size", "tree_depth"}
)
_WORK = ("cumulative_fge", "cumulative_time")
_LEAST_DRAWS = 4
_LEAST_CHAINS = 2
_FIGURE = {"dpi": 110, "bbox_inches": "tight"}
_MOST_PLOTTED = 20


def derive(inputs: Path, output: Path, mode: str) -> None:
    """Analyse the one file of traces below `inputs`; ``full`` adds the work-normalized variance.

    ``analysis.json`` has for each quantity ``mean``, ``sd``, ``mcse_mean``, ``ess_bulk``, ``ess_tail`` and ``r_hat``;
    what needs more chains or draws than there are is null. `ValueError` says what is wrong with the traces.
    """
    arviz: Any = importlib.import_module("arviz")  # large, and an extra
    importlib.import_module("matplotlib").use("Agg")
    traces = read_traces(_only(inputs))
    sampled = {name: values for name, values in traces.items() if name not in SAMPLE_STATS}
    if not sampled:
        msg = f"{TRACES}: holds statistics of the sampler only, and nothing that was sampled"
        raise ValueError(msg)
    stats = {name: values for name, values in traces.items() if name in SAMPLE_STATS}
    data = arviz.from_dict(posterior=sampled, sample_stats=stats or None)
    for group in data.groups():
        data[group].attrs.pop("created_at", None)  # the same traces give the same bytes
    data.to_netcdf(str(output / "trace.nc"), engine="h5netcdf")
    analysis = analyse(data, sampled, stats)
    text = json.dumps(analysis, indent=2, sort_keys=True, allow_nan=False)
    (output / "analysis.json").write_text(text + "\n")
    _plot(data, sampled, stats, output / "diagnostics", full=mode == "full")


def read_traces(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a file of traces, all of one shape, finite numbers; `ValueError` names what is not."""
    import numpy as np  # noqa: PLC0415 - comes with the extra

    raw = json.loads(path.read_text())
    if not isinstance(raw, dict) or not raw:
        msg = f"{path.name}: is not an object of arrays"
        raise ValueError(msg)
    traces: dict[str, np.ndarray[Any, Any]] = {}
    for name, values in raw.items():
        try:
            array = np.asarray(values, dtype=float)
        except (TypeError, ValueError) as error:
            msg = f"{path.name}: {name!r} is not an array of numbers, chains x draws"
            raise ValueError(msg) from error
        if array.ndim != 2 or not array.size:  # noqa: PLR2004 - chains and draws
            msg = f"{path.name}: {name!r} has the shape {array.shape}, not chains x draws; vectors do not belong here"
            raise ValueError(msg)
        if not np.isfinite(array).all():
            msg = f"{path.name}: {name!r} holds values that are not finite"
            raise ValueError(msg)
        traces[name] = array
    shapes = {array.shape for array in traces.values()}
    if len(shapes) > 1:
        said = ", ".join(f"{name} {array.shape[0]} x {array.shape[1]}" for name, array in sorted(traces.items()))
        msg = f"{path.name}: chains and draws differ: {said}"
        raise ValueError(msg)
    return traces


def analyse(data: Any, sampled: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - ArviZ's
    """Return what ``analysis.json`` holds."""
    arviz: Any = importlib.import_module("arviz")
    chains, draws = next(iter(sampled.values())).shape
    estimates: dict[str, Any] = {
        "mcse_mean": lambda name: arviz.mcse(data, var_names=[name], method="mean")[name],
        "ess_bulk": lambda name: arviz.ess(data, var_names=[name], method="bulk")[name],
        "ess_tail": lambda name: arviz.ess(data, var_names=[name], method="tail")[name],
        "r_hat": lambda name: arviz.rhat(data, var_names=[name])[name],
    }
    quantities: dict[str, dict[str, float | None]] = {}
    for name, values in sampled.items():
        known: dict[str, float | None] = {
            "mean": _number(values.mean()),
            "sd": _number(values.std(ddof=1)) if values.size > 1 else None,
        }
        for estimate, call in estimates.items():
            enough = draws >= _LEAST_DRAWS and (estimate != "r_hat" or chains >= _LEAST_CHAINS)
            known[estimate] = _number(call(name).item()) if enough else None
        quantities[name] = known
    work = {name: _number(stats[name][:, -1].sum()) for name in _WORK if name in stats}
    return {"chains": chains, "draws": draws, "quantities": quantities, "work": work}


def _plot(data: Any, sampled: Mapping[str, Any], stats: Mapping[str, Any], folder: Path, *, full: bool) -> None:  # noqa: ANN401
    arviz: Any = importlib.import_module("arviz")
    plt: Any = importlib.import_module("matplotlib.pyplot")
    folder.mkdir(parents=True, exist_ok=True)
    names = list(sampled)[:_MOST_PLOTTED]

    def save(name: str) -> None:
        plt.gcf().savefig(folder / name, **_FIGURE)
        plt.close("all")

    arviz.plot_trace(data, var_names=names)
    save("trace.png")
    arviz.plot_rank(data, var_names=names)
    save("rank.png")
    if "energy" in stats:
        arviz.plot_energy(data)
        save("energy.png")
    _plot_convergence(plt, {name: sampled[name] for name in names}, stats)
    save("convergence.png")
    if full:
        _plot_work(plt, {name: sampled[name] for name in names}, stats)
        save("wnv.png")


def _plot_convergence(plt: Any, sampled: Mapping[str, Any], stats: Mapping[str, Any]) -> None:  # noqa: ANN401 - untyped
    """Running means of each chain, over draws and over the work that they took."""
    import numpy as np  # noqa: PLC0415 - as above

    axes = ["draws", *(name for name in _WORK if name in stats)]
    _, grid = plt.subplots(len(sampled), len(axes), figsize=(5 * len(axes), 3 * len(sampled)), squeeze=False)
    for row, (name, values) in zip(grid, sampled.items(), strict=True):
        steps = np.arange(1, values.shape[1] + 1)
        for plot, axis in zip(row, axes, strict=True):
            for chain, draws in enumerate(values):
                plot.plot(steps if axis == "draws" else stats[axis][chain], np.cumsum(draws) / steps, lw=1)
            plot.set_xlabel(axis)
            plot.set_ylabel(f"running mean of {name}")


def _plot_work(plt: Any, sampled: Mapping[str, Any], stats: Mapping[str, Any]) -> None:  # noqa: ANN401 - untyped
    """Work-normalized variance: how the variance of the mean falls with work; a flat line is as good as it gets."""
    import numpy as np  # noqa: PLC0415 - as above

    _, plot = plt.subplots(figsize=(6, 4))
    for name, values in sampled.items():
        steps = np.arange(1, values.shape[1] + 1)
        means = np.cumsum(values, axis=1) / steps
        work = stats["cumulative_fge"].mean(axis=0) if "cumulative_fge" in stats else steps
        spread = means.var(axis=0, ddof=1) if len(values) > 1 else np.full(len(steps), math.nan)
        plot.plot(work, spread * work, label=name, lw=1)
    plot.set_xlabel("cumulative_fge" if "cumulative_fge" in stats else "draws")
    plot.set_ylabel("variance of the mean x work")
    plot.legend()


def _only(inputs: Path) -> Path:
    found = sorted(inputs.rglob(TRACES))
    if len(found) != 1:
        msg = f'{len(found)} files are named {TRACES}: this deriver takes one; use per = "run"'
        raise ValueError(msg)
    return found[0]


def _number(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
