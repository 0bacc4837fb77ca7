"""The command lines: node, agent, reporter, render. Imports everything."""
