"""What the agent and the reporter tell each other. Imports nothing else of this package."""
