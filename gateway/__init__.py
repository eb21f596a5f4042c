"""The composition root: settings, the HTTP application, the command line, keys, webhooks and the API.

Knows every room, is known by none. Its tables: settings, api_keys, audit.
"""
