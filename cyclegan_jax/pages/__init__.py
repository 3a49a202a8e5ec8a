"""HTML pages: templates, charts, and the run's page."""
