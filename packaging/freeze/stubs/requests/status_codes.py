"""Stands in for requests.status_codes: darabonba.core looks into it only to log a response."""
