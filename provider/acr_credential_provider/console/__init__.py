"""What the command lines share: arguments, check results, build information. Imports settings and below."""
