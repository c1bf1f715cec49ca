"""The model card: what it says of a run, in the run's own numbers."""

from __future__ import annotations

import tiny_model
from spotify_mlops.presentation.es import country, interval, number


def section(title: str) -> str:
    """Return what the card of the small world's model has under a title."""
    return tiny_model.result().card.partition(f"## {title}\n\n")[2].partition("\n\n## ")[0]


def test_the_card_has_its_sections() -> None:
    card = tiny_model.result().card
    assert card.startswith("# Modelo «popularity»: nivel de popularidad a 2 horas\n\n")
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == [
        "Datos",
        "Resultados en el rango de prueba",
        "Por nivel y por país",
        "Las que van a cambiar",
        "Cómo está hecho",
        "Lo que no puede hacer",
        "Límites y cuidados",
    ]
    assert section("Datos").startswith("**Los datos son sintéticos**: los produjo el simulador")


def test_the_results_are_each_models_on_the_test_range() -> None:
    result = tiny_model.result()
    scores = {
        (row["model"], row["metric"]): interval(row["value"], row["low"], row["high"])
        for row in result.metrics.filter(split="test", slice="all").to_dicts()
    }
    metrics = ("macro_f1", "accuracy", "ece", "cost")
    rows = section("Resultados en el rango de prueba").splitlines()[2:-2]
    assert rows == [
        f"| {name} | {' | '.join(scores[model, metric] for metric in metrics)} |"
        for model, name in {
            "majority": "Mayoría",
            "persistence": "Persistencia",
            "logistic": "Regresión logística",
            "seed": "Modelo, caso de estudio",
            "dynamics": "**Modelo, dinámica**",
        }.items()
    ]


def test_the_card_says_how_well_each_order_finds_what_changes() -> None:
    result = tiny_model.result()
    scores = {
        (row["model"], row["metric"]): interval(row["value"], row["low"], row["high"])
        for row in result.metrics.filter(split="test", slice="all").to_dicts()
    }
    metrics = ("rise_ap", "rise_precision_at_10", "rise_recall_at_10", "fall_ap",
               "fall_precision_at_10")  # fmt: skip
    rows = section("Las que van a cambiar").splitlines()
    for model, name in (
        ("chance", "Al azar"),
        ("logistic", "Regresión logística"),
        ("dynamics", "**Modelo, dinámica**"),
    ):
        assert f"| {name} | {' | '.join(scores[model, metric] for metric in metrics)} |" in rows


def test_the_card_says_in_numbers_what_the_model_cannot_do() -> None:
    result = tiny_model.result()
    own = result.metrics.filter(model="dynamics", split="test")
    written = {
        (row["slice"], row["metric"]): interval(row["value"], row["low"], row["high"])
        for row in own.to_dicts()
    }
    f1 = {row["slice"]: row["value"] for row in own.filter(metric="macro_f1").to_dicts()}
    levels = {row["slice"]: row["value"] for row in own.filter(metric="f1").to_dicts()}
    place = min((name for name in f1 if name.startswith("country:")), key=f1.__getitem__)
    level = min(levels, key=levels.__getitem__)
    recall = own.filter(slice=level, metric="recall")["value"].item()
    lines = section("Lo que no puede hacer").splitlines()
    assert lines[0] == (
        f"- Donde peor predice es en {country(place.partition(':')[2])} (macro-F1 "
        f"{written[place, 'macro_f1']}) y el nivel {level.partition(':')[2]} (F1 "
        f"{written[level, 'f1']}): de cada cien que lo son, se le escapan "
        f"{number(100 * (1 - recall))}."
    )
    assert lines[1] == (
        "- Solo se ha probado a 2 horas vista. Más allá, o más acá, no se sabe lo que vale."
    )
    nobody = "no hubo ninguna en la prueba, así que no se sabe."
    assert lines[2] == f"- Canciones que su país no oyó antes de la prueba: {nobody}"
    first, last = (written[part, "macro_f1"] for part in ("part:1", "part:3"))
    assert lines[4].startswith(
        f"- Con el tiempo: en el primer tercio de la prueba, macro-F1 {first}; en el último, "
        f"{last}: dentro de este rango "
    )
