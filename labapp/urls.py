"""Twin addresses: /sync/… and /async/… lead to views of the same names. The reader's own views, where there are any,
come first."""

from types import ModuleType

from django.conf import settings
from django.urls import URLPattern, include, path

from labapp import async_views, experiment, sync_views
from labapp.parameters import bad_request


def paths_to(views: ModuleType) -> list[URLPattern]:
    return [
        path("page/", views.page),
        path("wait/", views.wait),
        path("burn/", views.burn),
        path("wait_and_burn/", views.wait_and_burn),
        path("block/", views.block),
        path("hop/", views.hop),
        path("stream/", views.stream),
        path("download/", views.download),
        path("upload/", views.upload),
        path("rows/", views.rows),
        path("shelf/", views.shelf),
        path("fetch/", views.fetch),
        path("export/", views.export),
    ]


urlpatterns = [
    *(experiment.patterns(settings.VIEWS) if settings.VIEWS else []),
    path("sync/", include(paths_to(sync_views))),
    path("async/", include(paths_to(async_views))),
]

handler400 = bad_request
