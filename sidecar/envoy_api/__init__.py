"""Envoy's protobuf messages, and the only code that touches them."""
