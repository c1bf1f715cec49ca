"""What Pulumi runs: the platform of the params that the stack's ``params`` names."""

import pulumi
from spotify_platform import program

from spotify_mlops.config import params
from spotify_mlops.config.errors import UserError

try:
    program.make(params.load(pulumi.Config().require("params")))
except UserError as error:  # its words, without where in the program they were said
    raise pulumi.RunError(str(error)) from None
