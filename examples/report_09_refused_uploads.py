"""Report 9: what does an upload cost that the view refuses?

Source: https://github.com/django/django/pull/15704 (2022, closed) and
https://github.com/django/django/pull/19359 (2025, in Django 6.0)

Claim: under ASGI the view begins only after the whole body has arrived; and each piece past 2.5 MB is a hop to a
thread.

What decides: two clients send 5 MB each, within two seconds, to a view that refuses without reading. The first figure
is the time until the first byte of the refusal, over those two seconds. The second is the number of hops to a thread
to write the body, per megabyte of it.

Measured on one machine (2 cores; Python 3.11.7 and 3.13.0, uvicorn 0.54.0): the first claim is supported. The refusal
came after 100% of the time of the upload under ASGI, with Django 5.2.19, 6.0.10 and 6.1.3, and after 0.1% or less
under WSGI. The second is refuted for Django 5.2.19 (no hops), and supported for 6.0.10 and 6.1.3: 18 hops per megabyte
of the body, which are 39 per megabyte past the first 2.6. That figure is the client's: it sends 25,000 bytes at a
time.

Arguments: paths of interpreters with other versions of Django.
"""

import sys

from django.http import HttpResponse

import requestlab as lab


def refuse(request):
    return HttpResponse("too large", status=413)


if __name__ == "__main__":  # this file is what the servers load, too
    megabytes, upload_s = 5, lab.seconds(2)
    upload = lab.slow_senders(2, size=megabytes * 1_000_000, per_s=megabytes * 1_000_000 / upload_s)
    application, wait, hops = lab.app(__file__, middleware="none"), {}, {}
    for python in ["", *sys.argv[1:]]:  # paths of interpreters with other versions of Django
        for base in lab.SYNC.replace(server="gunicorn-gthread", threads=2), lab.ASYNC:
            with lab.serve(base, application=application, python=python, probe=1.0) as server:
                run = lab.measure(server, "/refuse/", upload, seconds=3 * upload_s)
            refused = run.requests[run.requests["status"] == 413]
            share = ((refused["first_byte"] - refused["sent"]) / 1e9 / upload_s).median()
            writes = run.crossings["name"].str.endswith(".write").sum() / max(len(refused), 1) / megabytes
            name = f"Django {run.about.machine.versions['django']}"
            print(f"{name}, {base.interface}: {share:.1%} of the upload until the refusal, {writes:.1f} hops per MB")
        wait[name], hops[name] = share, writes  # the last one, which is ASGI

    whole = lab.claim("refusal-costs-the-upload")
    hop = lab.claim("pieces-of-a-body-are-hops")
    print(whole.judge(wait), hop.judge(hops), sep="\n\n")
