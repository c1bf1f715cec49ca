"""What the laptop's cloud changes in other people's programs, each named for what it changes.

Of a version that is pinned; ``tests/unit/project/test_patches.py`` fails when what is changed is no
longer what it was.
"""
