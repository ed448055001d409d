"""Named middleware stacks; the environment variable LABAPP_MIDDLEWARE chooses one."""

from django.core.exceptions import ImproperlyConfigured

MIDDLEWARE_STACKS: dict[str, tuple[str, ...]] = {
    # Nothing here calls request.get_host(), so Django does not check ALLOWED_HOSTS,
    # and nothing sets Content-Length, so servers answer in chunks.
    "none": (),
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
}

NEEDED_APPS: dict[str, tuple[str, ...]] = {
    "none": (),
    "startproject": (
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
    ),
}


def middleware_of(stack: str) -> tuple[str, ...]:
    """The middleware of a named stack, outermost first. Raises ImproperlyConfigured for an unknown name."""
    if stack not in MIDDLEWARE_STACKS:
        allowed = ", ".join(MIDDLEWARE_STACKS)
        raise ImproperlyConfigured(f"LABAPP_MIDDLEWARE is {stack!r}; it must be one of: {allowed}.")
    return MIDDLEWARE_STACKS[stack]
