"""What people look at: notebooks, figures, reports, the live page. In Spanish."""
