//! AdminService: what is served and changing it; the work is done where it belongs, this translates.

use std::sync::Arc;

use skewless_batch::{Field, Type};
use skewless_catalog::visibility::Boundary;
use skewless_catalog::{Diagnostic, Fingerprint, Severity, diff};
use skewless_engine::Lane;
use skewless_proto::v1 as pb;
use skewless_proto::v1::admin_service_server::AdminService;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response, Status, Streaming};

use crate::blocking::{background, blocking};
use crate::guard::Passed;
use crate::load;
use crate::repo::RepoError;
use crate::sidecar::{ReloadError, Sidecar};
use crate::snapshot::{Snapshot, emptied};
use crate::status::ServeError;

/// What answers `skewless.v1.AdminService`; how it meets tonic is in `rpc.rs`.
pub(crate) struct Admin(pub(crate) Arc<Sidecar>);

type Answer<T> = Result<Response<T>, Status>;

impl Admin {
    /// The right to reload or flush, held until that is done even if the caller has gone.
    fn permit(&self) -> Result<OwnedSemaphorePermit, Status> {
        let busy = ServeError::Busy { what: "reloads and flushes", limit: "one at a time", max: 1 };
        Ok(Arc::clone(&self.0.gates.admin).try_acquire_owned().map_err(|_| busy)?)
    }

    /// The place of a call that only reads, held until its work is done even if its deadline has passed.
    fn place<T>(&self, request: &Request<T>) -> Option<Arc<OwnedSemaphorePermit>> {
        Passed::of(request.extensions()).place
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn apply(&self, request: Request<pb::ApplyRequest>) -> Answer<pb::ApplyResponse> {
        let sidecar = Arc::clone(&self.0);
        let (dry_run, permit) = (request.get_ref().dry_run, self.permit()?);
        let applied = background(move || {
            let _until_done = permit;
            Ok(apply(&sidecar, dry_run))
        });
        Ok(Response::new(applied.await?))
    }

    async fn list(&self, _: Request<pb::ListRequest>) -> Answer<pb::ListResponse> {
        Ok(Response::new(list(&self.0.current.load())))
    }

    async fn describe(
        &self,
        request: Request<pb::DescribeRequest>,
    ) -> Answer<pb::DescribeResponse> {
        use pb::describe_request::Of;
        use pb::describe_response::Described;
        let snapshot = self.0.current.load_full();
        let described = match &request.get_ref().of {
            Some(Of::Service(name)) => Described::Service(service(&snapshot, name)?),
            Some(Of::View(name)) => {
                let (sidecar, name) = (Arc::clone(&self.0), name.clone());
                let place = self.place(&request);
                let described = blocking(move || {
                    let _until_done = place;
                    view(&sidecar, &snapshot, &name)
                });
                Described::View(described.await?)
            }
            Some(Of::Transform(name)) => Described::Transform(transform(&snapshot, name)?),
            Some(Of::Entity(name)) => Described::Entity(entity(&snapshot, name)?),
            None => {
                let none = "expected the name of a service, view, transform or entity, came none";
                return Err(ServeError::Field(none.to_owned()).into());
            }
        };
        Ok(Response::new(pb::DescribeResponse { described: Some(described) }))
    }

    async fn plugins(&self, _: Request<pb::PluginsRequest>) -> Answer<pb::PluginsResponse> {
        let snapshot = self.0.current.load();
        let plugins = snapshot.plugins.values().map(|plugin| {
            let facts = plugin.facts();
            let runs = snapshot.catalog.transforms.iter().filter(|t| t.digest == facts.digest);
            pb::Plugin {
                digest: facts.digest.0.to_vec().into(),
                name: facts.signature.name.clone(),
                version: facts.signature.version.clone(),
                doc: facts.signature.doc.clone(),
                lane: if facts.lane == Lane::Core { "core" } else { "component" }.to_owned(),
                inputs: facts.signature.inputs.iter().map(field).collect(),
                outputs: facts.signature.outputs.iter().map(field).collect(),
                transforms: runs.map(|transform| transform.name.clone()).collect(),
            }
        });
        Ok(Response::new(pb::PluginsResponse { plugins: plugins.collect() }))
    }

    async fn snapshot_info(
        &self,
        request: Request<pb::SnapshotInfoRequest>,
    ) -> Answer<pb::SnapshotInfoResponse> {
        let (sidecar, place) = (Arc::clone(&self.0), self.place(&request));
        let info = blocking(move || {
            let _until_done = place;
            Ok(sidecar.store.info()?)
        });
        let info = info.await?;
        let snapshot = self.0.current.load();
        let views = info.views.iter().map(|view| pb::ViewInfo {
            view: view.view.clone(),
            generation: view.generation,
            rows: view.rows_estimate,
            bytes: view.bytes,
            loaded: view.loaded,
            pending_rows: view.pending_estimate,
        });
        Ok(Response::new(pb::SnapshotInfoResponse {
            snapshot: snapshot.number,
            fingerprint: bytes(&snapshot.catalog.fingerprint),
            loaded_us: snapshot.loaded_us,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store_sequence: info.sequence,
            views: views.collect(),
            store_fault: info.fault.map(|fault| fault.message).unwrap_or_default(),
        }))
    }

    async fn flush(&self, _: Request<pb::FlushRequest>) -> Answer<pb::FlushResponse> {
        let permit = self.permit()?;
        let sidecar = Arc::clone(&self.0);
        let flushed = blocking(move || {
            let _until_done = permit;
            let store_sequence = sidecar.store.info()?.sequence;
            sidecar.store.flush()?;
            Ok(pb::FlushResponse { store_sequence })
        });
        Ok(Response::new(flushed.await?))
    }

    async fn load(&self, request: Request<Streaming<pb::LoadRequest>>) -> Answer<pb::LoadResponse> {
        Ok(Response::new(load::load(Arc::clone(&self.0), request.into_inner()).await?))
    }
}

fn apply(sidecar: &Sidecar, dry_run: bool) -> pb::ApplyResponse {
    let (applied, changes, diagnostics, now) = match sidecar.reload(dry_run) {
        Ok(reloaded) => {
            let changes = diff::diff(&reloaded.old.catalog, &reloaded.repo.catalog);
            let mut changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            if !dry_run {
                changes.extend(emptied(&reloaded.new.views));
            }
            let warnings = reloaded.repo.catalog.warnings.iter().map(diagnostic).collect();
            (true, changes, warnings, reloaded.new)
        }
        Err(error) => (false, Vec::new(), refusal(&error), sidecar.current.load_full()),
    };
    pb::ApplyResponse {
        applied,
        changed: !changes.is_empty(),
        diagnostics,
        snapshot: now.number,
        fingerprint: bytes(&now.catalog.fingerprint),
        changes,
    }
}

fn refusal(error: &ReloadError) -> Vec<pb::Diagnostic> {
    let whole = |message| pb::Diagnostic { message, ..pb::Diagnostic::default() };
    match error {
        ReloadError::Repo { error: RepoError::Definitions { diagnostics, .. }, next } => {
            let next = next.iter().cloned();
            let next = next.map(|next| pb::Diagnostic { warning: true, ..whole(next) });
            diagnostics.iter().map(diagnostic).chain(next).collect()
        }
        other => vec![whole(other.to_string())],
    }
}

fn diagnostic(of: &Diagnostic) -> pb::Diagnostic {
    pb::Diagnostic {
        warning: of.severity == Severity::Warning,
        file: of.file.clone(),
        line: u32::try_from(of.line).unwrap_or(u32::MAX),
        column: u32::try_from(of.column).unwrap_or(u32::MAX),
        message: of.message.clone(),
        suggestion: of.suggestion.clone().unwrap_or_default(),
    }
}

fn list(snapshot: &Snapshot) -> pb::ListResponse {
    let catalog = &snapshot.catalog;
    let entities = catalog.entities.iter().map(|e| named(&e.name, &e.doc, &e.fingerprint));
    let views = catalog.views.iter().map(|v| named(&v.name, &v.doc, &v.fingerprint));
    let transforms = catalog.transforms.iter().map(|t| named(&t.name, &t.doc, &t.fingerprint));
    let services = catalog.services.iter().map(|s| named(&s.name, &s.doc, &s.fingerprint));
    pb::ListResponse {
        entities: entities.collect(),
        views: views.collect(),
        transforms: transforms.collect(),
        services: services.collect(),
        request: catalog.requests.iter().map(|request| field(&request.field)).collect(),
    }
}

fn service(snapshot: &Snapshot, name: &str) -> Result<pb::ServiceDescription, ServeError> {
    let service = &snapshot.catalog.services[snapshot.catalog.find_service(name)?];
    let (plan, doc) = (&service.plan, &service.doc);
    let lookups = plan.lookups.iter().map(|lookup| match &lookup.role {
        Some(role) => format!("{}[{role}]", lookup.view_name),
        None => lookup.view_name.clone(),
    });
    let transforms =
        plan.steps.iter().filter_map(|step| snapshot.catalog.transform(&step.transform));
    Ok(pb::ServiceDescription {
        named: Some(named(name, doc, &plan.fingerprint)),
        keys: plan.keys.iter().map(|key| plain(&key.name, key.ty, true)).collect(),
        request: plan
            .request
            .iter()
            .map(|column| plain(&column.name, column.ty, column.nullable))
            .collect(),
        features: plan
            .outputs
            .iter()
            .map(|output| plain(&output.name, output.ty, output.nullable))
            .collect(),
        lookups: lookups.collect(),
        transforms: transforms.map(|t| named(&t.name, &t.doc, &t.fingerprint)).collect(),
        plugins: plan.digests().iter().map(|digest| digest.0.to_vec().into()).collect(),
    })
}

fn view(
    sidecar: &Sidecar,
    snapshot: &Snapshot,
    name: &str,
) -> Result<pb::ViewDescription, ServeError> {
    let view = snapshot.catalog.find_view(name)?;
    let loaded = sidecar.store.has_rows(snapshot.views.view(view.id)?)?;
    Ok(pb::ViewDescription {
        named: Some(named(&view.name, &view.doc, &view.fingerprint)),
        entity: view.entity.clone(),
        keys: view.keys.iter().map(|key| plain(&key.name, key.ty, false)).collect(),
        features: view.features.iter().map(field).collect(),
        ttl_us: view.rule.ttl_us,
        boundary_inclusive: view.rule.boundary == Boundary::Inclusive,
        lag_us: view.rule.lag_us,
        loaded,
        sources: view.source.as_ref().map(|source| source.paths.clone()).unwrap_or_default(),
    })
}

fn transform(snapshot: &Snapshot, name: &str) -> Result<pb::TransformDescription, ServeError> {
    let transform = snapshot.catalog.find_transform(name)?;
    Ok(pb::TransformDescription {
        named: Some(named(&transform.name, &transform.doc, &transform.fingerprint)),
        plugin: transform.plugin.clone(),
        digest: transform.digest.0.to_vec().into(),
        instance: transform.policy.word().to_owned(),
        inputs: transform.signature.inputs.iter().map(field).collect(),
        outputs: transform.signature.outputs.iter().map(field).collect(),
    })
}

fn entity(snapshot: &Snapshot, name: &str) -> Result<pb::EntityDescription, ServeError> {
    let entity = snapshot.catalog.find_entity(name)?;
    let roles = entity.roles.iter();
    let roles = roles.map(|role| pb::RoleDescription {
        name: role.name.clone(),
        join_keys: role.join_keys.clone(),
    });
    Ok(pb::EntityDescription {
        named: Some(named(&entity.name, &entity.doc, &entity.fingerprint)),
        keys: entity.keys.iter().map(|key| plain(&key.name, key.ty, false)).collect(),
        join_keys: entity.join_keys.clone(),
        roles: roles.collect(),
    })
}

fn named(name: &str, doc: &str, fingerprint: &Fingerprint) -> pb::Named {
    pb::Named { name: name.to_owned(), doc: doc.to_owned(), fingerprint: bytes(fingerprint) }
}

fn bytes(fingerprint: &Fingerprint) -> bytes::Bytes {
    fingerprint.0.to_vec().into()
}

fn field(of: &Field) -> pb::Field {
    let (doc, unit) = (of.doc.clone(), of.unit.clone());
    pb::Field { doc, unit, ..plain(&of.name, of.ty, of.nullable) }
}

fn plain(name: &str, ty: Type, nullable: bool) -> pb::Field {
    let (name, doc, unit) = (name.to_owned(), String::new(), String::new());
    pb::Field { name, r#type: i32::from(ty.code()), dim: ty.dim(), nullable, doc, unit }
}

#[cfg(test)]
mod tests;
