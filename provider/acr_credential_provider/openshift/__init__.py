"""Commands for OpenShift's pull secrets. Imports everything of the plugin, and the controller's Kubernetes client."""
