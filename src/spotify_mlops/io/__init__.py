"""The systems outside: one folder a system, its reader beside its writer."""
