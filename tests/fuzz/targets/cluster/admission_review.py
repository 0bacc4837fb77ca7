"""An AdmissionReview, which anyone who reaches the port may send: decoded to values of the right types, or refused."""

import json
from base64 import b64decode

from acr_credential_provider.pull_secrets.webhook.admission import BadReviewError, Review, allow, refuse
from fuzz.promises import check_text


def fuzz(data):
    try:
        review = Review.decode(data)
    except BadReviewError as error:
        check_text(str(error))
        return
    for labels in (review.labels, review.annotations):
        assert all(isinstance(text, str) for pair in labels.items() for text in pair), labels
    assert all(isinstance(text, str) for text in (review.uid, review.name, review.namespace))
    patch = review.patch("pull-secret")
    response = json.loads(allow(review.uid, patch, "a warning").body)["response"]
    assert (response["uid"], response["allowed"]) == (review.uid, True)
    assert ("patch" in response) == bool(patch)
    if patch:
        assert json.loads(b64decode(response["patch"])) == patch
    assert json.loads(refuse(review.uid, "later").body)["response"]["allowed"] is False
