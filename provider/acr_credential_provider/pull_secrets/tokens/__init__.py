"""Registry tokens of the controller: fetched, renewed, shared between replicas. Imports config and below."""
