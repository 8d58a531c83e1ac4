"""The gate: an Envoy ext_authz sidecar that lets an AI agent's tool call through, or not.

Reading order: ``pipeline`` (a request's whole way), ``core.model`` (the values it passes on),
``core.reasons`` and ``core.stance`` (the two tables that decide what the world sees),
``assembly`` (how the parts are put together).
"""
