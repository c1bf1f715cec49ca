"""How the graph is given to a cluster: options, submission, state, end."""
