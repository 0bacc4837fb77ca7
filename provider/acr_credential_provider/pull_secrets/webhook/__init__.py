"""The admission webhook: reviews, registration, certificates. Imports serving and below."""
