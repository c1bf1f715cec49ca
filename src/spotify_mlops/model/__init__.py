"""From features and labels to a checked, portable model: training, evaluation, registry."""
