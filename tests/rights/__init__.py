"""Least privilege, both ways: what is asked of Google, and what the platform's program allows.

`recorder` writes down each call that a process makes, `calls` says what it needs (`tables`, from
Google's documentation), and `comparison` holds that against the grants, account by account.
"""
