"""What `ad40 robustness` found, for a terminal and as the section of a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.compare.page import percent, pictures
from training.page import table, written_by
from training.robustness.fires import MANY_LEPTONS

_FACTOR = 3.0  # from here on a change is a factor, not so many percent


def change(ratio: list[float] | None) -> str:
    """A ratio of rates [low, value, high] as a change in percent.

    >>> change([0.9, 1.05, 1.2])
    '+5.0 % (-10.0 to +20.0)'
    >>> change([30.0, 38.0, 46.0])
    'x38 (x30 to x46)'
    """
    if ratio is None:
        return "none before"
    if ratio[1] >= _FACTOR:
        low, value, high = (f"x{v:.3g}" for v in ratio)
        return f"{value} ({low} to {high})"
    low, value, high = (f"{100 * (v - 1):+.1f}" for v in ratio)
    return f"{value} % ({low} to {high})"


def _range(value: list[float], digits: int = 3) -> str:
    low, middle, high = (f"{v:.{digits}g}" for v in value)
    return f"{middle} ({low} to {high})"


def _share(value: list[float]) -> str:
    low, middle, high = (percent(v) for v in value)
    return f"{middle} ({low} to {high})"


def _scores(document: dict[str, Any]) -> list[str]:
    return [m["name"] for m in document["models"]] + document["beside"]


def _effects(document: dict[str, Any]) -> list[str]:
    lines, scores = [], _scores(document)
    for fpr in document["fprs"]:
        rows = [[name, *(_effect(found[fpr][s]) for s in scores)] for name, found in document["effects"].items()]
        rates = ", ".join(f"{s} {document['nominal'][fpr][s]['rate_hz'][1]:.3g} Hz" for s in scores)
        lines += [f"Thresholds at FPR {fpr}; rates before: {rates}.", "", table(["effect", *scores], rows), ""]
    return lines


def _effect(found: dict[str, Any]) -> str:
    apart = f"; and {found['without_lepton']} without lepton, {change(found['ratio_of_all'])}"
    counts = f"{change(found['ratio'])}; +{found['new']} -{found['lost']}"
    return counts + (apart if found["without_lepton"] else "")


def _pileup(document: dict[str, Any]) -> list[str]:
    lines, scores = [], _scores(document)
    for fpr in document["fprs"] if document["pileup"] else []:
        rows = [[f"{row['pileup']:g}", f"{row['events']:,}", f"{row['filtered_rate_hz']:.0f}",
                 *(f"{change(row['scores'][fpr][s]['ratio'])}; {row['scores'][fpr][s]['fired']}" for s in scores)]
                for row in document["pileup"]]  # fmt: skip
        lines += [f"Thresholds at FPR {fpr} of the sample.", "",
                  table(["mean pileup", "events", "filtered rate [Hz]", *scores], rows), ""]  # fmt: skip
    if document["pileup_missing"]:
        missing = ", ".join(f"{mean:g}" for mean in document["pileup_missing"])
        lines += [f"Not measured, no file was given (`--pileup`): mean pileup {missing}.", ""]
    return lines


def _rates(document: dict[str, Any]) -> list[str]:
    found, signals = document["rates"], list(document["signal_events"])
    menu = found["menu"]
    cuts = "; ".join(f"{name}: " + ", ".join(_cut(what, value) for what, value in seed.items())
                     for name, seed in document["menu"].items())  # fmt: skip
    lines = [
        f"The ordinary menu here: {cuts} (GeV). It takes {percent(menu['efficiency'][1])} % of the lepton-filtered "
        f"background, {_range(menu['rate_hz'])} of {document['filtered_rate_hz']:.0f} Hz, and of the signals "
        + ", ".join(f"{s} {percent(menu['signals'][s][1])} %" for s in signals)
        + ". The pure rate is of events that it does not take.",
        "",
    ]
    for name, rows in found["models"].items():
        body = []
        for row in rows:
            low, threshold, high = row["threshold"]
            gains = (f"{percent(row['signals'][s][1])} / {percent(row['signals_pure'][s][1])}" for s in signals)
            body.append([f"{row['target_hz']:g}", f"{threshold} ({low} to {high})", _range(row["rate_hz"]),
                         f"{row['fraction'][1]:.2e}", _range(row["pure_rate_hz"]), *gains])  # fmt: skip
        titles = ["wanted [Hz]", "threshold", "rate [Hz]", "share of background", "pure rate [Hz]",
                  *(f"{s}: all / pure [%]" for s in signals)]  # fmt: skip
        lines += [f"`{name}`:", "", table(titles, body), ""]
    return lines


def _cut(what: str, value: Any) -> str:
    text = " and ".join(f"{v:g}" for v in value) if isinstance(value, list) else f"{value:g}"
    return f"{what} {text}"


def _fires(document: dict[str, Any]) -> list[str]:
    models = list(document["fires"])
    quantities = list(document["fires"][models[0]]["spearman"])
    rows = [[q, *(f"{document['fires'][m]['spearman'][q]:+.2f}" for m in models)] for q in quantities]
    lines = ["Rank correlation (Spearman) of the score with simple quantities, over the background:", "",
             table(["quantity", *(f"`{m}`" for m in models)], rows), ""]  # fmt: skip
    for fpr in document["fprs"]:
        found = {m: document["fires"][m]["overlap"][fpr] for m in models}
        cuts = list(next(iter(found.values()))["with"])
        rows = [[f"`{m}`", f["fired"], *(percent(f["with"][c]) for c in cuts), percent(f["with any"]),
                 *(percent(v) for v in f["leptons"])] for m, f in found.items()]  # fmt: skip
        alone = next(iter(found.values()))["leptons of all"]
        rows.append(["all background", "", *([""] * (len(cuts) + 1)), *(percent(v) for v in alone)])
        leptons = [f"{k} lepton{'s' * (k > 1)}" if k < MANY_LEPTONS else f"{k} or more"
                   for k in range(1, MANY_LEPTONS + 1)]  # fmt: skip
        lines += [f"Of the background that fires at FPR {fpr}: the share that a cut at the same FPR takes too, and the "
                  "share by number of leptons, in percent:", "",
                  table(["score", "events", *cuts, "any of them", *leptons], rows), ""]  # fmt: skip
    for fpr in document["fprs"]:
        rows = []
        for m in models:
            for s, tpr in document["fires"][m]["tpr"][fpr].items():
                rows.append([f"`{m}`", s, *(_share(v) for v in tpr.values())])
        cuts = [c for c in next(iter(document["fires"][models[0]]["tpr"][fpr].values())) if c != "score"]
        lines += [f"TPR in percent at equal rate, FPR {fpr}:", "",
                  table(["model", "signal", "the score", *cuts], rows), ""]  # fmt: skip
    return lines


def section(document: dict[str, Any], page: Path) -> str:
    """The section of `docs/physics.md`."""
    models = ", ".join(f"`{m['name']}` {m['version']} (`{m['network_hash'][:16]}`)" for m in document["models"])
    lines = [
        written_by(document["command"]),
        "",
        f"Models: {models}. Sample `{document['sample']}` (fingerprint `{document['sample_fingerprint'][:16]}`): "
        f"{document['background_events']:,} background events of the {document['split']} part in "
        f"{document['families']:,} families, which stand for {document['filtered_rate_hz']:.0f} Hz at "
        f"{document['luminosity_cm2s']:.0e} cm⁻²s⁻¹. Seed {document['seed']}, settings "
        f"`{document['settings_hash'][:16]}` (`training/robustness/robustness.yaml`, which says what each effect is).",
        "",
        "### Rate change of the same events",
        "",
        "Change of the rate with its interval (events that change sides, summed in families); then how many background "
        "events fire newly and no longer. Simple cuts at the same FPR stand beside. Events below the lepton filter "
        f"cannot come in, and an event left without a lepton of {document['lepton_pt']:g} GeV leaves the sample: how "
        "many of those fire, and the change with them, stands apart.",
        "",
        *_effects(document),
        "### Pileup",
        "",
        "Rates of events generated with another pileup over that of the sample at the same thresholds, and how many "
        "events fire. The filtered rate is that of each file: isolation depends on pileup.",
        "",
        *_pileup(document),
        "### Thresholds for a rate, and the pure rate",
        "",
        *_rates(document),
        "### What fires",
        "",
        *_fires(document),
    ]
    return "\n".join(lines + pictures(document, page))


def text(document: dict[str, Any]) -> str:
    """The figures as lines for a terminal."""
    scores, fpr = _scores(document), list(document["fprs"])[-1]
    lines = [f"rate change at FPR {fpr}; {document['background_events']:,} background events",
             f"{'effect':<40}" + "".join(f"{s:>28}" for s in scores)]  # fmt: skip
    for name, found in document["effects"].items():
        lines.append(f"{name:<40}" + "".join(f"{change(found[fpr][s]['ratio']):>28}" for s in scores))
    for row in document["pileup"]:
        cells = "".join(f"{change(row['scores'][fpr][s]['ratio']):>28}" for s in scores)
        lines.append(f"{'pileup ' + format(row['pileup'], 'g'):<40}{cells}")
    for mean in document["pileup_missing"]:
        lines.append(f"{f'pileup {mean:g}':<40}{'not measured: no file':>28}")
    for name, rows in document["rates"]["models"].items():
        for row in rows:
            low, threshold, high = row["threshold"]
            lines.append(f"{name}: {row['target_hz']:g} Hz at {threshold} ({low} to {high}), pure "
                         f"{_range(row['pure_rate_hz'])} Hz")  # fmt: skip
    for name, found in document["fires"].items():
        spearman = ", ".join(f"{q} {v:+.2f}" for q, v in found["spearman"].items())
        lines.append(f"{name}: rank correlation with {spearman}")
    return "\n".join(lines)
