"""What other platforms need of the same settings: ECI's annotations, OpenShift's pull secrets."""
