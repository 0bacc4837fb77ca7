"""Replaces the community hook, which collects every submodule: v1, the mypy plug-in, the command line."""

# Pydantic loads these by name, on the first use of the class.
hiddenimports = [
    "pydantic.alias_generators",
    "pydantic.aliases",
    "pydantic.annotated_handlers",
    "pydantic.config",
    "pydantic.fields",
    "pydantic.functional_serializers",
    "pydantic.functional_validators",
    "pydantic.json_schema",
    "pydantic.main",
    "pydantic.networks",
    "pydantic.root_model",
    "pydantic.type_adapter",
    "pydantic.types",
    "pydantic._internal._validators",
]
