"""From settings to a registry token: identity, endpoint, ACR, cache. Imports sources, settings, cloud and cache."""
