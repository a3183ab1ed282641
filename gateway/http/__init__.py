"""HTTP: paths, headers, bodies and errors. Pure ASGI; decisions come from the scope's path."""
