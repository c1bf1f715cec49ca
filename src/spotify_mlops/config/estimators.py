"""The classifiers of scikit-learn that a model can be made of, and what may be chosen of each.

They are those that `model.onnx_scores` writes as a graph that agrees with them on every row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

BOOSTING = "HistGradientBoostingClassifier"

_TREE = frozenset({"max_depth", "max_features", "max_leaf_nodes", "min_samples_leaf"})

TUNABLE: Mapping[str, frozenset[str]] = {
    BOOSTING: frozenset(
        {"learning_rate", "l2_regularization", "max_iter"}
        | {"max_features", "max_leaf_nodes", "min_samples_leaf"}
    ),
    "RandomForestClassifier": _TREE | {"n_estimators"},
    "ExtraTreesClassifier": _TREE | {"n_estimators"},
    "DecisionTreeClassifier": _TREE,
    "LogisticRegression": frozenset({"C"}),
}
"""The names of the hyper-parameters of each classifier that ``model_grid`` may have."""

MOST_CANDIDATES = 64
"""Each is fitted: a longer grid is a mistake more often than a wish."""


def exported(name: str) -> str:
    """Return the name of a classifier that has an ONNX form.

    Raises:
        ValueError: it has none (Spanish).
    """
    if name not in TUNABLE:
        raise ValueError(
            "no se puede exportar a ONNX dando lo mismo que scikit-learn en cada fila; "
            f"se puede con {', '.join(TUNABLE)}"
        )
    return name


def check_grid(estimator: str, grid: Mapping[str, Sequence[object]]) -> None:
    """Refuse a grid with a name that is not the classifier's, or with too many candidates.

    Raises:
        ValueError: what is wrong (Spanish).
    """
    if strange := sorted(grid.keys() - TUNABLE[estimator]):
        raise ValueError(
            f"«model_grid» tiene {', '.join(strange)}, y de {estimator} se pueden elegir "
            f"{', '.join(sorted(TUNABLE[estimator]))}"
        )
    candidates = 1
    for values in grid.values():
        candidates *= len(values)
    if candidates > MOST_CANDIDATES:
        raise ValueError(
            f"«model_grid» da {candidates} candidatos, y se entrenan todos: como mucho, "
            f"{MOST_CANDIDATES}"
        )
