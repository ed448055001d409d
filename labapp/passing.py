"""Middleware that only passes a request on, in the three kinds that Django knows.

None of them does anything, so a stack of them shows what the kind and the order cost, and nothing else. Django puts an
adapter, a crossing between event loop and thread, wherever two neighbours cannot call each other directly.
"""

from asgiref.sync import iscoroutinefunction
from django.utils.decorators import async_only_middleware, sync_and_async_middleware, sync_only_middleware


@sync_only_middleware
def sync_layer(get_response):
    """A layer that must run in a thread. So is every middleware that says nothing of its kind."""

    def layer(request):
        return get_response(request)

    return layer


@async_only_middleware
def async_layer(get_response):
    """A layer that must run on an event loop."""

    async def layer(request):
        return await get_response(request)

    return layer


@sync_and_async_middleware
def hybrid_layer(get_response):
    """A layer that is of the kind of whatever it calls, and so never needs an adapter below it."""
    if iscoroutinefunction(get_response):

        async def layer(request):
            return await get_response(request)

    else:

        def layer(request):
            return get_response(request)

    return layer
