"""The operator's commands. Imports everything of the plugin; subcommands of other programs by name only."""
