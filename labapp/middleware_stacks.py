"""Middleware stacks; the environment variable LABAPP_MIDDLEWARE says one.

none                        nothing between Django and the view
startproject                what Django writes into a new project
sync,startproject,async     any layers in any order, outermost first
startproject,views.timing   a layer of the reader's own, by the name that Python imports it by
"""

from django.core.exceptions import ImproperlyConfigured

# The name of the stack without layers. In it nothing calls request.get_host(), so Django does not check ALLOWED_HOSTS,
# and nothing sets Content-Length, so servers answer in chunks.
NONE = "none"

LAYERS: dict[str, tuple[str, ...]] = {
    # The seven that `django-admin startproject` writes, in its order.
    "startproject": (
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ),
    "sync": ("labapp.passing.sync_layer",),
    "async": ("labapp.passing.async_layer",),
    "hybrid": ("labapp.passing.hybrid_layer",),
}

NEEDED_APPS: dict[str, tuple[str, ...]] = {
    "startproject": (
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
    ),
}

MAX_LAYERS = 20


def layers_of(stack: str) -> tuple[str, ...]:
    """The layers of a stack, outermost first. Raises ImproperlyConfigured for what is no stack."""
    layers = () if stack == NONE else tuple(stack.split(","))
    known = all(layer in LAYERS or "." in layer for layer in layers)
    if not known or len(layers) > MAX_LAYERS or layers.count("startproject") > 1:
        raise ImproperlyConfigured(
            f"LABAPP_MIDDLEWARE is {stack!r}; it must be {NONE}, or up to {MAX_LAYERS} layers, outermost first and with "
            f"commas between them, of: {', '.join(LAYERS)}, or dotted names; startproject at most once."
        )
    return layers


def middleware_of(stack: str) -> list[str]:
    """What Django's setting MIDDLEWARE must be for a stack."""
    return [middleware for layer in layers_of(stack) for middleware in LAYERS.get(layer, (layer,))]


def apps_of(stack: str) -> list[str]:
    """The apps without which the middleware of a stack does not work."""
    return [app for layer in layers_of(stack) for app in NEEDED_APPS.get(layer, ())]
