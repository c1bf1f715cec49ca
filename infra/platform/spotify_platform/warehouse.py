"""The warehouse: the dataset, its tables and its views, as `io.bigquery.tables` declares them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

from pulumi_gcp import bigquery

from spotify_mlops.io.bigquery import tables
from spotify_mlops.io.bigquery.tables import Table

from . import grants
from .grants import Account, allow
from .names import Role
from .place import Place


def make(place: Place, accounts: Mapping[Role, Account]) -> bigquery.Dataset:
    """Make them; rows are in a table, and readers query the view over it."""
    params = place.params
    dataset = bigquery.Dataset(
        "warehouse",
        dataset_id=params.bigquery.dataset,
        location=params.cloud.location,
        delete_contents_on_destroy=not params.platform.deletion_protection,
        opts=place.holding_data(),
    )
    declared = tables.all_tables(params.windows)
    made = {table.rows: _rows(place, dataset, table) for table in declared}
    for view in (*declared, *tables.views(params)):
        made[view.name] = _view(place, dataset, view, made)
    of_dataset = grants.dataset(dataset)
    for role in ("stream", "watcher", "monitor", "deployer"):
        allow(place, accounts[role], of_dataset, "roles/bigquery.dataEditor")
    allow(place, accounts["dashboards"], of_dataset, "roles/bigquery.dataViewer")
    return dataset


def _rows(place: Place, dataset: bigquery.Dataset, table: Table) -> bigquery.Table:
    kept = place.params.platform.warehouse_retention
    return bigquery.Table(
        table.rows,
        dataset_id=dataset.dataset_id,
        table_id=table.rows,
        schema=json.dumps([field.to_api_repr() for field in table.schema]),
        time_partitioning=bigquery.TableTimePartitioningArgs(
            type="DAY",
            field=table.day,
            expiration_ms=None if kept is None else kept // timedelta(milliseconds=1),
        )
        if table.day
        else None,
        clusterings=table.clustering or None,
        deletion_protection=place.params.platform.deletion_protection,
        opts=place.holding_data(),
    )


def _view(
    place: Place, dataset: bigquery.Dataset, view: Table, made: Mapping[str, bigquery.Table]
) -> bigquery.Table:
    name = place.params.bigquery.dataset
    sql = view.view_sql(name)
    read = [table for other, table in made.items() if f"`{name}.{other}`" in sql]
    return bigquery.Table(
        view.name,
        dataset_id=dataset.dataset_id,
        table_id=view.name,
        view=bigquery.TableViewArgs(query=sql, use_legacy_sql=False),
        deletion_protection=False,  # it has no rows of its own
        opts=place.options(*read),
    )
