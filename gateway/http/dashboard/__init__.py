"""``/dashboard``: pages for operators, drawn on the server (docs/decisions/0014).

Owns how things look. Refuses to know anything by itself: what it shows comes from the stores, and what it changes is
changed by the functions behind ``/admin``, so that both have the same rules and the same audit log.
"""
