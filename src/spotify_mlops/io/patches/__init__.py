"""How the processes of this project set up what they run on: Python, the allocators, Beam,
ONNX Runtime.

A module for each, named for what it changes. ``tests/unit/project/test_patches.py`` fails when
what is changed is no longer what it was. The local servers' own are in ``local_services/patches``.
"""
