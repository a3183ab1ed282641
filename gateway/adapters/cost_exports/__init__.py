"""Cost and usage exports of model providers, read row by row.

What is read here was established from:

* Anthropic's console, Cost and Usage pages, "Export" (support.anthropic.com, article 9534590). Its
  header has grown over the years, always with ``usage_date_utc`` in front; models stand in the cost
  export by names for people, and amounts in whole cents.
* Anthropic's Admin API, ``/v1/organizations/cost_report`` and ``/usage_report/messages``
  (platform.claude.com/docs/en/api/admin): amounts are decimal text in cents.
* OpenAI's dashboard, Usage page, "Export", and its Admin API, ``/v1/organization/costs`` and
  ``/usage/completions``: the columns of the one are the fields of the other, and those are typed in the
  official client (``openai.types.admin.organization``, ``usage_costs_response.py`` and
  ``usage_completions_response.py``). Line items are text, such as ``gpt-5-2025-08-07, cached input``.

A column that is not known is passed over: both providers add some without notice.
"""
