"""Items: what arms are measured on. Each kind of source has a module; :mod:`gathering` puts them together."""
