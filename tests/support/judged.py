"""What the tests ask of the one judgement of settings."""

import json

from acr_credential_provider.settings.verdict import judge, judge_conversion


def problems_of(text, place="node", origin=None):
    """Return all problems that there are with *text*."""
    return list(judge(text, place=place, origin=origin).problems)


def validate(text, origin=None, place="laptop"):
    """Return the settings in *text*, or all its problems if nothing in it is usable."""
    verdict = judge(text, place=place, origin=origin)
    return verdict.settings or list(verdict.problems)


def validate_conversion(conversion, origin=None):
    """Return the settings that an acr-configuration means, or all its problems; those are added to *conversion*."""
    verdict = judge_conversion(conversion, origin)
    conversion.problems[:] = verdict.problems
    conversion.secrets = dict(verdict.key_files)
    if verdict.document is not None:
        conversion.document = verdict.document
    return verdict.settings or list(verdict.problems)


def from_document(document):
    """Return the settings in *document*, which are without a problem."""
    verdict = judge(json.dumps(document), place="laptop")
    assert not verdict.problems, verdict.problems
    return verdict.settings
