"""The production form: what it costs, whether it can be deployed, what of it runs."""
