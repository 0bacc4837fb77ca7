"""Writes files of this repository from the code or the chart: error reference, schema, manifests, version."""
