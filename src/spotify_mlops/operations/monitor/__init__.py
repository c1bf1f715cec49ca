"""The model's life after deployment: live scores, drift, retraining, canary, rollback."""
