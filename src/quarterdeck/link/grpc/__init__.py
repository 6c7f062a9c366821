"""The default wire: grpc.aio over mutual TLS, generic method handlers, msgpack frames. No protoc, no generated code."""
