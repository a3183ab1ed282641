"""The admin API: teams, keys, budgets, the audit log, and what requests did and cost.

Every path under ``/admin`` is behind :class:`gateway.http.admin.gate.AdminGate`, which knows the
caller before anything of the request's body is read; every route names the role that it takes.
"""
