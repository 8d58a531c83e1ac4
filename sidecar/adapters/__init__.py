"""The world behind the ports: each adapter maps its library's errors to ``Unavailable``."""
