"""Packs what operators install: archives, SBOM and VEX, the container image, bundles of other architectures."""
