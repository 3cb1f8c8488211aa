//! gRPC services, ingest, reload, admin; the only home of the tonic server, tokio and hyper.
