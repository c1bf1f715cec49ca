"""Which params a platform can be made of, and what is said of the others."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spotify_platform.inventory import declared, of_kind

from spotify_mlops.config import params
from spotify_mlops.config.errors import ParamsError
from spotify_mlops.config.params import Params


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("archive", "local", "«archive» es «local», y la plataforma necesita gs://BUCKET"),
        ("archive", "gs://Mayúsculas", "«archive» es «gs://Mayúsculas»"),
        ("archive", "gs://another-bucket", "«dataflow_staging» es del bucket"),
        ("dataflow_staging", "gs://another-bucket/x", "«archive» de spotify-mlops-demo-archive"),
        ("project", "P", "«project» es «P», y la plataforma necesita el identificador"),
        ("project", "another-project", "«serving_image» es de spotify-mlops-demo y «project»"),
        ("location", "europe-west1", "«serving_image» es de us-central1 y «location» dice"),
        (
            "dataflow_service_account",
            "stream@another-project.iam.gserviceaccount.com",
            "«dataflow_service_account» es de another-project y «project» dice",
        ),
        ("dataflow_service_account", "me@example.org", "necesita CUENTA@PROYECTO.iam"),
        ("training_service_account", "", "«training_service_account» es «»"),
        (
            "serving_service_account",
            "training@spotify-mlops-demo.iam.gserviceaccount.com",
            "La cuenta de servicio training tendría los permisos de varios papeles",
        ),
        (
            "serving_service_account",
            "deployer@spotify-mlops-demo.iam.gserviceaccount.com",
            "La cuenta de servicio deployer tendría",
        ),
        ("dataflow_subnetwork", "", "regions/LUGAR/subnetworks/NOMBRE"),
        ("dataflow_subnetwork", "regions/us-east1/subnetworks/a", "es de us-east1 y «location»"),
        ("kafka_bootstrap", "kafka.example.org:9092", "bootstrap.CLÚSTER.LUGAR.managedkafka"),
        (
            "training_image",
            "us-central1-docker.pkg.dev/spotify-mlops-demo/other/training:1",
            "han de ser de un mismo repositorio, y son de other, spotify-mlops",
        ),
        ("training_image", "docker.io/training:1", "«training_image» es «docker.io/training:1»"),
        ("mongo_uri", "local", "«mongo_uri» ha de ser secret://NOMBRE"),
        ("mongo_uri", "env:MONGO", "«mongo_uri» ha de ser secret://NOMBRE"),
        ("model_name", "my_model", "«model_name» es «my_model-gcp»"),
    ],
)
def test_what_is_no_platform_is_refused_by_its_name(name: str, value: str, said: str) -> None:
    with pytest.raises(ParamsError, match=re.escape(said)):
        declared(params.load("gcp", **{name: value}))


@pytest.mark.parametrize("profile", ["local", "charts", "webapi"])
def test_a_profile_of_this_machine_is_none(profile: str) -> None:
    with pytest.raises(ParamsError):
        declared(params.load(profile))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("platform_subnetwork_range", "10.20.0.1/20"),
        ("platform_subnetwork_range", "999.0.0.0/8"),
        ("platform_subnetwork_range", "8.8.8.0/24"),
        ("platform_subnetwork_range", "10.20.0.0/27"),
        ("platform_grafana", "http://grafana.example.org"),
        ("platform_grafana", "https://admin:admin@grafana.example.org"),
        ("alert_email", "nobody"),
        ("atlas_tier", "M5"),
        ("kafka_memory_gib", 2),
    ],
)
def test_what_no_platform_can_have_is_no_parameter(name: str, value: object) -> None:
    with pytest.raises(ParamsError):
        params.load("gcp", **{name: value})


NAMES = st.from_regex(r"[a-z][a-z0-9-]{4,20}[a-z0-9]", fullmatch=True)
COUNTRIES = st.lists(
    st.from_regex(r"[A-Z]{2}", fullmatch=True), min_size=1, max_size=8, unique=True
)
LAGS = st.lists(st.integers(1, 400), min_size=1, max_size=6, unique=True).map(sorted)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_names_and_sizes_give_a_platform(data: st.DataObject, profile: Params) -> None:
    project, bucket, cluster, account = (data.draw(NAMES) for _ in range(4))
    location = data.draw(st.sampled_from(["us-central1", "europe-west4", "southamerica-east1"]))
    registry = f"{location}-docker.pkg.dev/{project}/{data.draw(NAMES)}"
    email = "{}@" + f"{project}.iam.gserviceaccount.com"
    vcpus = data.draw(st.integers(3, 480))
    changed = profile.replace(
        profile=data.draw(st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True)),
        project=project,
        location=location,
        archive=f"gs://{bucket}/" + data.draw(st.sampled_from(["", "folder"])),
        dataflow_staging=f"gs://{bucket}/" + data.draw(st.sampled_from(["", "graphs", "a/b/"])),
        dataflow_service_account=email.format(f"a{account}"),
        training_service_account=email.format(f"b{account}"),
        serving_service_account=email.format(f"c{account}"),
        dataflow_subnetwork=f"regions/{location}/subnetworks/{data.draw(NAMES)}",
        dataflow_image=f"{registry}/pipeline@sha256:" + data.draw(st.sampled_from("01")) * 64,
        training_image=f"{registry}/training:1",
        serving_image=f"{registry}/serving:1",
        kafka_bootstrap=f"bootstrap.{cluster}.{location}.managedkafka.{project}.cloud.goog:9092",
        topic=data.draw(st.from_regex(r"[A-Za-z0-9._-]{1,40}", fullmatch=True)),
        partitions=data.draw(st.integers(1, 1024)),
        dataset=data.draw(st.from_regex(r"[A-Za-z0-9_]{1,40}", fullmatch=True)),
        countries=data.draw(COUNTRIES),
        lags=data.draw(LAGS),
        window=data.draw(st.timedeltas(timedelta(minutes=1), timedelta(days=14))),
        window_offset=timedelta(0),
        kafka_vcpus=vcpus,
        kafka_memory_gib=data.draw(st.integers(vcpus, 8 * vcpus)),
        log_retention=data.draw(st.timedeltas(timedelta(seconds=1), timedelta(days=3650))),
        warehouse_retention=data.draw(
            st.none() | st.timedeltas(timedelta(hours=1), timedelta(days=3650))
        ),
        monthly_limit=data.draw(st.floats(0, 1e9, allow_nan=False)),
        events_per_second=data.draw(st.floats(1e-3, 1e7)),
        mongo_uri=data.draw(
            st.sampled_from(["secret://a", "secret://b/3", "mongodb+srv://x.mongodb.net"])
        ),
        atlas_project=data.draw(st.sampled_from(["", "0123456789abcdef01234567"])),
        alert_email=data.draw(st.sampled_from(["", "a@example.org"])),
        platform_grafana=data.draw(st.sampled_from(["", "https://grafana.example.org"])),
    )
    made = declared(changed)

    names = [(one.kind, one.name) for one in made]
    assert len(set(names)) == len(names), "two resources of one name"
    topics = {one.inputs["topicId"]: one.inputs for one in of_kind(made, "managedkafka.Topic")}
    assert topics[changed.kafka.topic]["partitionCount"] == changed.kafka.partitions
    assert int(topics[changed.kafka.topic]["configs"]["retention.ms"]) >= 1000
    assert len(of_kind(made, "monitoring.NotificationChannel")) == bool(
        changed.platform.alert_email
    )
    assert len(of_kind(made, "billing.Budget")) == (round(changed.platform.monthly_limit, 2) > 0)
