"""A local web page, and an HTTP API, that translate pictures with trained runs."""
