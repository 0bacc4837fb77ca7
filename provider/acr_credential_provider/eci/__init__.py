"""Annotations and parameters for Elastic Container Instance. Imports settings and below."""
