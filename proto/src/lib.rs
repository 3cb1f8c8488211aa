//! The gRPC contracts.
