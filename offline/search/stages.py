"""The stages of a search, in their order, and what each depends on."""

from __future__ import annotations

from ad40.files import file_hash
from offline.search import anomaly, background, exclusion, hunting, pages, sample, smooth, spectra
from offline.search.analysis import Analysis
from offline.search.chain import Context, Stage


def _no_network(analysis: Analysis) -> str | None:
    if analysis.score is None:
        return "the analysis has no score"
    return None if analysis.score.autoencoder else "the score is not that of an autoencoder trained here"


def _score_files(context: Context) -> list[str]:
    score = context.analysis.score
    return [file_hash(path) for _, path in (score.files if score and score.files else ())]


STAGES = (
    Stage("table", (), ("cuts", "counts", "nanoaod", "events", "streams", "spectra.names", "luminosity_fb", "seed"),
          sample.stage, inputs=lambda context: context.extra["inputs"]),
    Stage("autoencoder", ("table",), ("name", "seed", "score.autoencoder"), anomaly.train_network, _no_network),
    Stage("scores", ("table", "autoencoder"), ("score",), anomaly.score_all,
          lambda analysis: None if analysis.score else "the analysis has no score", _score_files),
    Stage("regions", ("table", "scores"), ("regions", "signals"), anomaly.define,
          lambda analysis: None if analysis.regions else "the analysis has no anomaly regions"),
    Stage("spectra", ("table", "scores", "regions"), ("spectra", "streams", "regions.ystar_max"), spectra.stage),
    Stage("fits", ("table", "spectra"), ("fits", "spectra", "seed"), background.stage),
    Stage("hunt", ("table", "scores", "regions", "spectra", "fits"), ("hunt", "spectra", "streams", "fits", "seed"),
          hunting.stage),
    Stage("limits", ("table", "spectra", "fits"), ("limits", "spectra", "seed"), exclusion.stage,
          lambda analysis: None if analysis.limits else "the analysis asks for no limits"),
    Stage("scan", ("table", "scores"), ("scan", "spectra", "streams", "fits", "seed"), smooth.stage,
          lambda analysis: None if analysis.scan else "the analysis asks for no scan of the threshold"),
    Stage("report", ("table", "autoencoder", "scores", "regions", "spectra", "fits", "hunt", "limits", "scan"),
          ("name", "title", "status", "signals"), pages.stage, inputs=lambda context: file_hash(context.analysis.file)),
)  # fmt: skip
"""Every stage, in order."""

NAMES = tuple(stage.name for stage in STAGES)
