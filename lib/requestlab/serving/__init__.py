"""Serving: configurations, servers, and starting and stopping them."""
