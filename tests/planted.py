"""The bookshop with one fault planted at a time, each as text behind its settings or its views."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import labapp

SHOP = Path(labapp.__file__).with_name("bookshop")

_PAGE = """
from shop import views
urlpatterns.append(path("planted/", views.planted))
"""

FAULTS = {
    "blocking call": {
        "views": """
async def planted(request):
    time.sleep(0.03)
    return HttpResponse("<p>read from a slow disk</p>")
""",
        "urls": _PAGE,
    },
    "sync-only middleware": {
        "views": """
def planted(get_response):
    def layer(request):
        return get_response(request)

    return layer
""",
        "settings": "\nMIDDLEWARE.insert(0, 'shop.views.planted')\n",
    },
    "CONN_MAX_AGE": {"settings": "\nDATABASES['default']['CONN_MAX_AGE'] = 60\n"},
    "GIL held elsewhere": {
        "views": """
def planted(request):
    return HttpResponse(f"<p>{sum(range(4_000_000))}</p>")
""",
        "urls": _PAGE,
    },
    "thread-local": {
        "views": """
import threading

kept = threading.local()
""",
    },
    "memory": {
        "views": """
seen = []


def planted(request):
    seen.append(bytearray(20_000))
    return HttpResponse("<p>counted</p>")
""",
        "urls": _PAGE,
    },
    "sync stream": {
        "views": """
from django.http import FileResponse


def planted(request):
    return FileResponse(open("large.bin", "rb"), content_type="text/html")
""",
        "urls": _PAGE,
    },
}


def shop_with(fault: str, folder: Path) -> Path:
    """Copy the shop into a folder, with that fault, or none where it is empty."""
    shop = Path(
        shutil.copytree(
            SHOP, Path(tempfile.mkdtemp(dir=folder), "bookshop"), ignore=shutil.ignore_patterns("__pycache__")
        )
    )
    for module, text in FAULTS[fault].items() if fault else ():
        with (shop / "shop" / f"{module}.py").open("a") as file:
            file.write(text)
    if fault == "sync stream":
        (shop / "large.bin").write_bytes(bytes(3_000_000))
    return shop
