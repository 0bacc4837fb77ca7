import pytest
from acr_credential_provider.model.errors import InvalidImageError
from acr_credential_provider.model.image_reference import registry_of
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("acr.example.com/team/app", "acr.example.com"),
        ("acr.example.com:5000/team/app:1", "acr.example.com:5000"),
        ("acr.example.com/app@sha256:abc", "acr.example.com"),
        ("localhost/app", "localhost"),
        ("[::1]:5000/app", "[::1]:5000"),
        ("docker.io/library/busybox", "docker.io"),
        (
            "evil.com/demo-registry.cn-hangzhou.cr.aliyuncs.com/app",
            "evil.com",
        ),
    ],
)
def test_the_registry_is_what_stands_before_the_first_slash(image, registry):
    assert registry_of(image) == registry


@pytest.mark.parametrize(
    "image",
    [
        "",
        "/",
        "app",
        "team/app",
        "acr.example.com",
        "acr.example.com/",
        "acr.example.com/:1",
        "user@acr.example.com/app",
        "acr.example.com:x/app",
        "acr..example.com/app",
        "acr.example.com./app",
        "acr.example.com\n/app",
        "acr.example.com:123456/app",
        "https://acr.example.com/app",
        "a" * 300 + ".com/app",
        "ácr.example.com/app",
    ],
)
def test_what_names_no_registry_host_is_refused(image):
    with pytest.raises(InvalidImageError) as refusal:
        registry_of(image)
    assert "HOST/NAMESPACE/NAME" in refusal.value.remedy


@given(st.text())
def test_no_image_has_a_registry_that_could_break_a_line_or_a_path(image):
    try:
        registry = registry_of(image)
    except InvalidImageError:
        return
    assert not set(registry) & set("/\n\r\0 \"'\\@")
