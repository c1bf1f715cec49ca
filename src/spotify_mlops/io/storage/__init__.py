"""Cloud Storage, where several machines may write the same object."""
