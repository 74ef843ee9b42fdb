"""Boosted trees of scikit-learn, which only the teacher and the supervised limits need."""

from __future__ import annotations

from typing import Any

from ad40.errors import MissingTool


def boosted_trees() -> tuple[Any, str]:
    """HistGradientBoostingClassifier, and the version of scikit-learn. Raises `MissingTool` without it."""
    try:
        import sklearn
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ModuleNotFoundError as error:
        raise MissingTool("the package 'scikit-learn'", "`pip install 'ad40[train]'`") from error
    return HistGradientBoostingClassifier, str(sklearn.__version__)
