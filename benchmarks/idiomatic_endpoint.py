"""The baseline: the same model as one serves it first, FastAPI and scikit-learn.

A pydantic model of the instance, a pandas frame of the request, the fitted scikit-learn members
from a joblib file, asked one after the other and averaged, calibrated and made probabilities as
``LevelModel`` does. Nothing is slowed down on purpose: uvicorn runs on uvloop and httptools, the
handler on the event loop (a thread pool for it was slower), OpenMP on one thread (more were
slower for one row), and the frame is handed on as an array, so that no member checks its names.

    python idiomatic_endpoint.py MODEL.joblib MODEL.json PORT
"""

# FastAPI reads annotations that exist only inside `create_app`: none may be put off.
import json
import sys
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, create_model
from scipy.special import softmax

from spotify_mlops.domain.labels import LEVELS
from spotify_mlops.model.learner import LevelModel


class Prediction(BaseModel):
    """The answer to one instance."""

    level: str
    score: float
    probabilities: dict[str, float]
    model: str


class Answer(BaseModel):
    """The answer to a request."""

    predictions: list[Prediction]


def create_app(model: LevelModel, description: dict[str, Any]) -> FastAPI:
    """Return the app that serves a model whose inputs its description names."""
    features: list[str] = description["features"]
    fields: dict[str, Any] = {name: (float, ...) for name in features}
    instance = create_model("Instance", __config__=ConfigDict(extra="forbid"), **fields)
    request = create_model("Request", instances=(list[instance], ...))  # type: ignore[valid-type]
    name = f"{description['model_name']}@1"
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/predict")
    async def predict(body: request) -> Answer:  # type: ignore[valid-type]
        instances = body.instances  # type: ignore[attr-defined]
        frame = pd.DataFrame([item.model_dump() for item in instances], columns=features)
        x = frame.to_numpy()
        scores = sum(member.decision_function(x) for member in model.members) / len(model.members)
        calibrated = model.calibration.apply(scores)
        return Answer(
            predictions=[
                Prediction(
                    level=LEVELS[level],
                    score=row[level],
                    probabilities=dict(zip(LEVELS, row, strict=True)),
                    model=name,
                )
                for level, row in zip(
                    model.decide(calibrated), softmax(calibrated, axis=1).tolist(), strict=True
                )
            ]
        )

    return app


def main() -> None:
    """Serve until a signal comes."""
    model, description, port = sys.argv[1:]
    app = create_app(joblib.load(model), json.loads(Path(description).read_text(encoding="utf-8")))
    uvicorn.run(app, host="127.0.0.1", port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
