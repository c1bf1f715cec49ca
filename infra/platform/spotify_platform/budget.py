"""The budget: who is told, and when, of what the project costs."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_gcp import billing, monitoring, organizations

from .place import Place

_SHARES = (0.5, 0.9, 1.0)


def make(place: Place, told: Sequence[monitoring.NotificationChannel]) -> None:
    """Make it, on the account that pays for the project, for the params' monthly limit (USD)."""
    params = place.params
    limit = round(params.platform.monthly_limit, 2)
    if limit == 0:
        return
    project = organizations.get_project_output(
        project_id=params.cloud.project, opts=pulumi.InvokeOptions(provider=place.provider)
    )
    units = int(limit)
    billing.Budget(
        "budget",
        billing_account=project.billing_account,
        display_name=f"spotify-mlops ({params.profile})",
        budget_filter=billing.BudgetBudgetFilterArgs(
            projects=[pulumi.Output.concat("projects/", project.number)]
        ),
        amount=billing.BudgetAmountArgs(
            specified_amount=billing.BudgetAmountSpecifiedAmountArgs(
                currency_code="USD", units=str(units), nanos=round((limit - units) * 1e9)
            )
        ),
        threshold_rules=[
            *(billing.BudgetThresholdRuleArgs(threshold_percent=share) for share in _SHARES),
            billing.BudgetThresholdRuleArgs(threshold_percent=1.0, spend_basis="FORECASTED_SPEND"),
        ],
        all_updates_rule=billing.BudgetAllUpdatesRuleArgs(
            monitoring_notification_channels=[channel.id for channel in told]
        )
        if told
        else None,
        opts=place.options(),
    )
