"""Report 4: can a middleware reset in `process_response` what it set in `process_request`?

Source: https://github.com/dvoraj75/django-rls-tenants/issues/58 (2026) and
https://github.com/django/asgiref/issues/534 (2025)

Claim: under ASGI, a ContextVar's token that was made in process_request cannot be reset in process_response.

What decides: a middleware with these two hooks, and one that does the same in one function. The figure is the share of
100 requests that are answered with status 500.

Measured on one machine (2 cores; Python 3.11.7 and 3.13.0, gunicorn 27.0.1, uvicorn 0.54.0): supported. With the hooks,
0% failed under WSGI and 100% under ASGI: "Token was created in a different Context". With the one function, 0%
failed under ASGI. It was the same on Django 5.2.19 and 6.0.10 with asgiref 3.13.0, and on Django 4.2.30 with asgiref
3.7.2.

Arguments: paths of interpreters with other versions of Django and asgiref.
"""

import sys
from contextvars import ContextVar

from django.utils.deprecation import MiddlewareMixin

import requestlab as lab

tenant = ContextVar("tenant", default=None)


class Hooks(MiddlewareMixin):
    def process_request(self, request):
        request.token = tenant.set("alice")

    def process_response(self, request, response):
        tenant.reset(request.token)
        return response


def call(get_response):
    def middleware(request):
        token = tenant.set("alice")
        response = get_response(request)
        tenant.reset(token)
        return response

    return middleware


if __name__ == "__main__":  # this file is what the servers load, too
    failed = {}
    for python in ["", *sys.argv[1:]]:  # paths of interpreters with other versions of Django and asgiref
        for layer, base in ("Hooks", lab.SYNC), ("call", lab.ASGI), ("Hooks", lab.ASGI):
            application = lab.app(__file__, middleware=[layer, "startproject"])
            with lab.serve(base, application=application, python=python) as server:
                run = lab.measure(server, "/sync/page/", lab.closed(users=4, each=25))
                share = (run.requests["status"] == 500).mean()
                versions = run.about.machine.versions
                name = f"Django {versions['django']}, asgiref {versions['asgiref']}"
                print(f"{name}, {layer}, {base.interface}: {share:.0%} failed. {server.last_error}")
        failed[name] = share  # the last one: hooks under ASGI

    claim = lab.claim("token-reset-fails")
    print(claim.judge(failed))
