"""What Pulumi runs: the platform of the params that the stack's ``params`` names."""

import pulumi
from spotify_platform import program

from spotify_mlops.config import params

program.make(params.load(pulumi.Config().require("params")))
