"""The platform of the cloud form: what there has to be in a Google Cloud project, from the params.

A module is one idea; `program` puts them together. Nothing has a name here that the params, or the
code that uses it, do not give it.
"""
