"""Generated protobuf and gRPC code. Never edited: see protos/generate.py."""
