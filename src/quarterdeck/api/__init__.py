"""HTTP over the server: REST with OpenAPI, live streams, problem documents. It decides who may ask, and no more."""
