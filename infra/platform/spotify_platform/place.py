"""Where everything is made: the project, as whom, with which labels, and after what."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pulumi
from pulumi_gcp.provider import Provider

from spotify_mlops.config.labels import labels
from spotify_mlops.config.params import Params

from .names import Names


@dataclass(frozen=True)
class Place:
    """The params, and how a resource of theirs is made."""

    params: Params
    names: Names
    provider: Provider
    after: tuple[pulumi.Resource, ...] = ()

    @classmethod
    def of(cls, params: Params) -> Place:
        """Return the place that params describe.

        Raises:
            ParamsError: they describe none.
        """
        names = Names.of(params)
        provider = Provider(
            "google",
            project=params.cloud.project,
            region=params.cloud.location,
            default_labels=labels(params),  # of all that may have labels, so that none is forgotten
            billing_project=params.cloud.project,  # who asks: budgets are of no project
            user_project_override=True,
        )
        return cls(params, names, provider)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of what is made, for what does not take them from the provider."""
        return labels(self.params)

    def then(self, *made: pulumi.Resource) -> Place:
        """Return the place where these are there already."""
        return replace(self, after=(*self.after, *made))

    def options(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Return the options of a resource that can be made again."""
        return pulumi.ResourceOptions(provider=self.provider, depends_on=[*self.after, *after])

    def holding_data(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Return the options of a resource whose end would be that of data."""
        protect = pulumi.ResourceOptions(protect=self.params.platform.deletion_protection)
        return pulumi.ResourceOptions.merge(self.options(*after), protect)
