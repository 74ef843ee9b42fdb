"""search.json: the figures of a search that a person would quote, and the sentence that says what was found."""

from __future__ import annotations

from typing import Any

from ad40 import __version__
from offline.objects.selection import STREAMS
from offline.search.analysis import Analysis
from offline.search.chain import Context
from offline.search.sample import DATA, Injection

Row = dict[str, Any]
Key = tuple[str, str, str]  # stream, mass, region


def key_of(row: Row) -> Key:
    """(stream, mass, region) of a row of any stage."""
    return row["stream"], row["mass"], row["region"]


def fit_quality(fitted: Row, hunted: Row | None) -> float:
    """p of the goodness of a fit: from the pseudo-experiments of the hunt if it was in it, from those of the fit
    otherwise."""
    return float(hunted["gof_p"] if hunted and hunted["reason"] is None else fitted["gof_p"])


def channel(analysis: Analysis, key: Key, regions: list[str]) -> str:
    """Name of a spectrum: the mass, and stream and region where there are several."""
    stream, mass, region = key
    parts = [mass]
    if len(analysis.streams) > 1:
        parts.append(stream)
    if len(regions) > 1:
        parts.append(region)
    return " ".join(parts)


def spectra(context: Context) -> list[Row]:
    """One row for each spectrum of the hunt: what was fitted and found, or why it was left out."""
    histograms, analysis = context.results["spectra"], context.analysis
    counts = {key_of(row): row["counts"] for row in histograms["rows"]}
    fits = {key_of(row): row for row in context.results["fits"]["rows"]}
    saturated, floors = context.results["table"][DATA]["saturated_left_out"], dict(analysis.spectra.floors)
    rows = []
    for hunted in context.results["hunt"]["rows"]:
        key = key_of(hunted)
        fitted, about = fits[key], histograms["masses"][key[1]]
        row: Row = {
            "name": channel(analysis, key, histograms["regions"]),
            **dict(zip(("stream", "mass", "region"), key, strict=True)),
            "label": about["label"],
            "status": "scanned" if hunted["reason"] is None else "skipped",
            "reason": hunted["reason"],
            "floor": floors.get(key[1], 0.0),
            "pairs": sum(counts[key]),
            "saturated_left_out": saturated[key[1]],
            "entries": fitted.get("entries", 0),
        }
        if hunted["reason"] is None:
            row |= {k: v for k, v in fitted.items() if k not in ("reason", "entries", "gof_p", "expected", "pulls")}
            first = fitted["start"]
            last = first + len(fitted["expected"])
            row |= {k: v for k, v in hunted.items() if k != "reason"}
            row |= {
                "bins": len(fitted["expected"]),
                "histogram": {
                    "edges": about["edges"][first : last + 1],
                    "counts": counts[key][first:last],
                    "expected": fitted["expected"],
                },
            }
        rows.append(row)
    return rows


def summarise(context: Context) -> dict[str, Any]:
    """The content of search.json."""
    analysis, data = context.analysis, context.results["table"][DATA]
    hunt = context.results["hunt"]
    injection: Injection | None = context.extra.get("injection")
    own = [source for source in data["sources"] if not source.get("injected")]
    added = injection.events if injection else 0
    summary: dict[str, Any] = {
        "version": __version__,
        "analysis": {"name": analysis.name, "title": analysis.title, "hash": analysis.hash},
        "seed": analysis.seed,
        "record": str(analysis.data[0]),
        "sources": own,
        "events_read": sum(source["events"] for source in own),
        "events_kept": sum(source["events"] for source in own) if own[0]["kind"] == "record" else data["events"],
        "copies_dropped": data["copies_dropped"],
        "injected": {"record": str(injection.file), "events": added} if injection else None,
        "events_searched": context.results["spectra"]["events"],
        "left_out": context.results["spectra"]["left_out"],
        "luminosity_fb": data["luminosity_fb"],
        **{k: v for k, v in hunt.items() if k not in ("rows", "global")},
        "global": hunt["global"] | {"counts_shared_between_spectra": hunt["shared"]},
        "spectra": spectra(context),
    }
    for name in ("source", "hashes", "models", "events_seen"):
        if name in own[0]:
            summary[name] = own[0][name]
    if "regions" in context.results:
        regions = context.results["regions"]
        kept = ("regions", "refused", "acceptance", "improvement", "quantity")
        summary["anomaly"] = {k: regions[k] for k in kept}
    if "scan" in context.results:
        summary["scan"] = context.results["scan"]
    summary["skipped_stages"] = context.skipped
    return summary


def verdict(summary: dict[str, Any]) -> str:
    """One sentence that says what was found."""
    total = summary["global"]
    if total["spectrum"] is None:
        return "No spectrum could be searched."
    row = next(r for r in summary["spectra"] if all(r[k] == total[v] for k, v in _PLACE.items()))
    relation = "at least " if total["p_is_limit"] else ""
    where = f"{place(row, summary)} between {row['window'][0]:.0f} and {row['window'][1]:.0f} GeV"
    numbers = (
        f"{row['observed']:.0f} events where {row['expected']:.1f} are expected, {row['local_z']:.1f} sigma local, "
        f"{relation}{total['z']:.1f} sigma global over all spectra (p {'<=' if relation else '='} {total['p']:.2g})"
    )
    start = "A bump in" if summary["bump"] else "No bump claimed. The largest excess is in"
    return f"{start} {where}: {numbers}."


_PLACE = {"stream": "stream", "mass": "spectrum", "region": "region"}


def place(row: Row, summary: dict[str, Any]) -> str:
    """Where a spectrum is, in words: its mass, and stream and region where there are several."""
    words = [row["label"]]
    if len({r["stream"] for r in summary["spectra"]}) > 1:
        words.append(f"in stream {row['stream']} ({STREAMS[row['stream']].description})")
    if len({r["region"] for r in summary["spectra"]}) > 1:
        words.append("without a cut on the score" if row["region"] == "all" else f"in the {row['region']} region")
    return " ".join(words)
