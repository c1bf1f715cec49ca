"""What everything else is given: parameters, secrets, paths, the errors that a user can mend."""
