"""Everything the gateway keeps in a database, and all the SQL there is.

Owns engines (``base``), tables and their migrations (``tables``, ``schema``, ``migrations``), and
what is asked of them: ``writer`` moves finished requests in, ``requests`` reads, sums and deletes
them. Serves SQLite and PostgreSQL alike. Refuses to stand on the path of a request: nothing here is
awaited before an answer leaves.
"""
