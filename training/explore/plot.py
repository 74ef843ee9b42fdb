"""Pictures of an exploration: front.html, a page that needs no network, and front.png."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import plotly.graph_objects as go
import plotly.io

from ad40.files import atomic_path
from training.explore.trial import Result

matplotlib.use("Agg")
from matplotlib import pyplot as plt

TOP, REST = "on the front", "dominated"
MISFIT = "does not fit"
LUT_TITLE = "LUT (estimate of the compiler)"
TICKS = [digit * 10**power for power in range(1, 6) for digit in (1, 2, 5)]  # of the axis of LUTs
_CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"]}  # nothing leaves the page
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 1.5em auto; max-width: 1250px; padding: 0 1em; }}
h1 {{ font-size: 1.35em; margin-bottom: .2em; }} h2 {{ font-size: 1.1em; margin: 1.4em 0 .3em; }}
p {{ margin: .3em 0; max-width: 60em; }}
code, #command {{ font: 13px ui-monospace, monospace; background: #f3f4f6; padding: .1em .35em; border-radius: 3px; }}
#command {{ display: block; padding: .6em .8em; min-height: 1.4em; white-space: pre-wrap; user-select: all; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 13.5px; }}
th, td {{ padding: .25em .7em; text-align: right; border-bottom: 1px solid #ddd; }}
th {{ cursor: pointer; vertical-align: bottom; background: #f8f8f8; position: sticky; top: 0; }}
td.words {{ text-align: left; }} tr:hover td {{ background: #eef6ff; }} tr.pick {{ cursor: pointer; }}
</style></head><body>
<h1>{title}</h1>
<p>{intro}</p>
<h2>Selection figure against LUTs</h2>
<p>Point at a trial to see its card; click it, or its row below, for the command that trains it in full.</p>
{scatter}
<div id="command">click a trial</div>
<h2>Choices and outcomes</h2>
<p>Each line is a trial that fits. Drag along an axis to keep a range; drag an axis to move it.</p>
{lines}
<h2>Trials on the front</h2>
<div class="wide">{front}</div>
<h2>All trials</h2>
<div class="wide">{trials}</div>
<script>
const commands = {commands};
const show = number => document.getElementById("command").textContent = commands[number];
document.getElementById("scatter").on("plotly_click", event => show(event.points[0].customdata));
document.querySelectorAll("tr.pick").forEach(row => row.onclick = () => show(row.dataset.trial));
document.querySelectorAll("th").forEach(head => head.onclick = () => {{
  const table = head.closest("table"), column = head.cellIndex, body = table.tBodies[0];
  const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const down = head.dataset.down = head.dataset.down === "1" ? "0" : "1";
  [...body.rows].sort((a, b) => (key(a) - key(b) || String(key(a)).localeCompare(key(b))) * (down === "1" ? -1 : 1))
    .forEach(row => body.append(row));
}});
</script></body></html>
"""


def _groups(results: Sequence[Result], best: Sequence[Result]) -> dict[str, list[Result]]:
    """The trials with figure and cost, without repeats: on the front, dominated, not fitting."""
    measured = [r for r in results if r.figure is not None and {"lut", "latency_ns"} <= r.cost.keys()]
    measured = [r for r in measured if r.same_as is None]
    chosen = {r.number for r in best}
    return {
        MISFIT: [r for r in measured if not r.feasible],
        REST: [r for r in measured if r.feasible and r.number not in chosen],
        TOP: list(best),
    }


def _names(group: Sequence[Result]) -> list[str]:
    """Numbers to write at the points, those of one place together at the first of them."""
    places: dict[tuple[float, float], list[Result]] = {}
    for result in group:
        places.setdefault(result.objectives[:2], []).append(result)
    return [", ".join(str(r.number) for r in there) if there[0] is result else ""
            for result in group for there in [places[result.objectives[:2]]]]  # fmt: skip


def _hover(result: Result, command: str) -> str:
    esc = lambda value: html.escape(str(value), quote=False)  # noqa: E731
    cost = result.cost
    lines = [f"<b>trial {result.number}</b>" + ("" if result.feasible else f" does not fit: {esc(result.reason)}"),
             f"figure {100 * (result.figure or 0):.2f} %, {cost['lut']:,} LUT"
             + (f" ({cost['lut_synth']:,} in synthesis)" if "lut_synth" in cost else ""),
             f"{cost['stages']} network stages, in all {cost['latency_cycles']} clocks = {cost['latency_ns']:g} ns",
             *(f"{esc(name)}: {esc(label)}" for name, label in result.parameters.items()),
             f"{result.nonzero_weights} weights not zero",
             *(f"{esc(name)}: TPR {100 * v[1]:.2f} ({100 * v[0]:.2f} to {100 * v[2]:.2f}) %"
               for name, v in result.efficiencies.items()),
             f"<i>{esc(command)}</i>"]  # fmt: skip
    return "<br>".join(lines)


def scatter(results: Sequence[Result], best: Sequence[Result], commands: dict[int, str], title: str) -> go.Figure:
    """Selection figure against LUTs; the colour is the latency in ns."""
    groups = _groups(results, best)
    times = [r.cost["latency_ns"] for group in (REST, TOP) for r in groups[group]]
    bounds = (min(times, default=0), max(times, default=1))
    looks = {
        MISFIT: {"symbol": "x-thin", "size": 8, "color": "#999", "line": {"width": 1.5, "color": "#999"}},
        REST: {"symbol": "circle", "size": 8, "opacity": 0.65, "coloraxis": "coloraxis"},
        TOP: {"symbol": "diamond", "size": 14, "coloraxis": "coloraxis", "line": {"width": 1.5, "color": "#222"}},
    }
    drawing = go.Figure()
    for name, group in groups.items():
        look = dict(looks[name])
        if "coloraxis" in look:
            look["color"] = [r.cost["latency_ns"] for r in group]
        drawing.add_trace(go.Scatter(
            x=[r.cost["lut"] for r in group], y=[100 * (r.figure or 0) for r in group], mode="markers+text",
            text=_names(group) if name == TOP else None, textposition="top center", name=name,
            marker=look, customdata=[r.number for r in group], hovertemplate="%{hovertext}<extra></extra>",
            hovertext=[_hover(r, commands[r.number]) for r in group],
        ))  # fmt: skip
    drawing.update_layout(
        template="plotly_white", height=560, margin={"l": 70, "r": 20, "t": 30, "b": 60}, hoverlabel={"align": "left"},
        xaxis={"title": LUT_TITLE, "type": "log", "tickvals": TICKS, "ticktext": [f"{tick:,}" for tick in TICKS]},
        yaxis={"title": title},
        coloraxis={"colorscale": "Viridis", "cmin": bounds[0], "cmax": bounds[1] if bounds[1] > bounds[0]
                   else bounds[0] + 1, "colorbar": {"title": {"text": "whole chain [ns]"}}},
        legend={"orientation": "h", "y": 1.06, "x": 0},
    )  # fmt: skip
    return drawing


def parallel(results: Sequence[Result], parameters: dict[str, list[Any]]) -> go.Figure:
    """Parallel coordinates of the trials that fit: the choices, then LUTs, ns and the figure."""
    fitting = [r for r in results if r.feasible and r.same_as is None]
    axes: list[dict[str, Any]] = []
    for name, labels in parameters.items():
        axes.append({"label": name, "values": [labels.index(r.parameters[name]) for r in fitting],
                     "tickvals": list(range(len(labels))), "ticktext": [str(label) for label in labels],
                     "range": [-0.2, len(labels) - 0.8]})  # fmt: skip
    for label, column in (("LUT", 1), ("ns", 2), ("figure [%]", 0)):
        axes.append({"label": label, "values": [r.objectives[column] * (1 if column else 100) for r in fitting]})
    colour = [100 * r.objectives[0] for r in fitting]
    drawing = go.Figure(go.Parcoords(dimensions=axes, line={"color": colour, "colorscale": "Viridis"}, labelangle=-12))
    drawing.update_layout(template="plotly_white", height=420, margin={"l": 80, "r": 60, "t": 90, "b": 30})
    return drawing


def _html_table(rows: Sequence[dict[str, Any]], parameters: dict[str, list[Any]]) -> str:
    names = ["trial", "figure", "lut", "lut_synth", "stages", "latency_ns", "nonzero_weights", *parameters]
    names = [name for name in names if any(row[name] is not None for row in rows)]
    names += ["reason"] if any(row["reason"] or row["same_as"] is not None for row in rows) else []
    heads = {"figure": "figure [%]", "lut": "LUT", "lut_synth": "LUT, synthesis", "latency_ns": "ns",
             "nonzero_weights": "weights", "reason": "remark"}  # fmt: skip
    body = []
    for row in rows:
        remark = row["reason"] or (f"the same as trial {row['same_as']}" if row["same_as"] is not None else "")
        cells = []
        for name in names:
            value = remark if name == "reason" else "" if row[name] is None else row[name]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            shown = (
                f"{100 * value:.2f}"
                if name == "figure" and number
                else f"{value:,}"
                if isinstance(value, int)
                else f"{value:g}"
                if number
                else str(value)
            )
            kind = "" if number else ' class="words"'
            key = f' data-value="{value}"' if number else ""
            cells.append(f"<td{kind}{key}>{html.escape(shown)}</td>")
        body.append(f'<tr class="pick" data-trial="{row["trial"]}">{"".join(cells)}</tr>')
    head = "".join(f"<th>{html.escape(heads.get(name, name))}</th>" for name in names)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def write_html(
    path: Path, results: Sequence[Result], best: Sequence[Result], summary: dict[str, Any], title: str
) -> None:
    """Write the interactive page; the whole of plotly.js is in it (5 MB), so that it works without a network."""
    import json

    rows, settings, parameters = summary["trials"], summary["settings"], summary["parameters"]
    commands, chosen = {row["trial"]: row["command"] for row in rows}, {r.number for r in best}
    infeasible = sum(not row["feasible"] for row in rows)
    intro = (
        f"{len(rows)} trials, {len(best)} of them on the front, {infeasible} infeasible. Sample {summary['sample']} "
        f"({settings['fingerprint'][:12]}), space {settings['space_hash'][:12]}, seed {settings['seed']}, "
        f"{summary['date']}, ad40 {summary['version']}. The figure is the {summary['objectives']['figure']}: "
        "no signal enters. On the front stands what no other trial beats in figure, LUTs and latency at once."
    )
    figures = {
        "scatter": plotly.io.to_html(scatter(results, best, commands, title), full_html=False, include_plotlyjs=True,
                                     div_id="scatter", config=_CONFIG),
        "lines": plotly.io.to_html(parallel(results, parameters), full_html=False, include_plotlyjs=False,
                                   div_id="lines", config=_CONFIG),
    }  # fmt: skip
    text = _PAGE.format(
        title=html.escape(f"Exploration around {summary['base']}"),
        intro=html.escape(intro),
        front=_html_table(sorted((r for r in rows if r["trial"] in chosen), key=lambda r: r["lut"]), parameters),
        trials=_html_table(rows, parameters),
        commands=json.dumps(commands).replace("</", "<\\/"),
        **figures,
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_png(path: Path, results: Sequence[Result], best: Sequence[Result], title: str) -> None:
    """Selection figure against LUTs, the colour the latency, as a picture for a page. title: of the figure."""
    groups = _groups(results, best)
    drawing, axis = plt.subplots(figsize=(8, 5))
    times = [r.cost["latency_ns"] for group in (REST, TOP) for r in groups[group]] or [0]
    looks = {MISFIT: {"marker": "x", "s": 30}, REST: {"marker": "o", "s": 28, "alpha": 0.6},
             TOP: {"marker": "D", "s": 70, "edgecolors": "black"}}  # fmt: skip
    for name, group in groups.items():
        if not group:
            continue
        x, y = [r.cost["lut"] for r in group], [100 * (r.figure or 0) for r in group]
        if name == MISFIT:
            axis.scatter(x, y, color="0.6", label=name, **looks[name])
            continue
        colours = {"cmap": "viridis", "vmin": min(times), "vmax": max(max(times), min(times) + 1)}
        points = axis.scatter(x, y, c=[r.cost["latency_ns"] for r in group], label=name, **colours, **looks[name])
        if name == TOP:
            drawing.colorbar(points, label="whole chain [ns]")
            for words, a, b in zip(_names(group), x, y, strict=True):
                axis.annotate(words, (a, b), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8)
    axis.set(xscale="log", xlabel=LUT_TITLE, ylabel=title)
    axis.margins(y=0.1)
    low, high = axis.get_xlim()
    axis.set_xticks([tick for tick in TICKS if low <= tick <= high], minor=False)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.xaxis.set_minor_formatter(lambda value, _: "")
    axis.grid(alpha=0.25, which="both")
    if any(groups.values()):
        axis.legend(frameon=False)
    with atomic_path(path) as temporary:
        drawing.savefig(temporary, format="png", dpi=110, bbox_inches="tight")
    plt.close(drawing)
