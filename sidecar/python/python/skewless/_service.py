"""A feature service on its way into other processes, and there on frames: what Spark and Ray run besides single plugins.

Only services that read no view: what is stored has a history, which a worker hasn't, and a join by time, which is a
backfill's. What travels is what such a service is made of, its definitions and plugins; what runs are the steps that a
backfill and a sidecar run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._errors import InputError
from ._plugin import Field, RowFailure, Transformed
from ._repo import FeatureRepo

if TYPE_CHECKING:
    import pyarrow as pa

#: Where a file of configuration is put, beside the folder of definitions.
_CONFIG = "skewless.toml"


class PackedService:
    """A service without stored features, with all that it is made of. It pickles."""

    def __init__(
        self, files: Mapping[str, bytes], settings: Mapping[str, str], config: bytes | None, service: str
    ) -> None:
        self._packed = (files, settings, config, service)
        # All of it is read at once: nothing is left behind, however the process ends.
        with tempfile.TemporaryDirectory(prefix="skewless-") as folder:
            dir = Path(folder, "repo")
            for name, content in files.items():
                (dir / name).parent.mkdir(parents=True, exist_ok=True)
                (dir / name).write_bytes(content)
            config_path = None
            if config is not None:
                config_path = Path(folder, _CONFIG)
                config_path.write_bytes(config)
            self._repo = FeatureRepo(dir, config=config_path, settings=settings)
        of = _service(self._repo, service)
        self.name = of.name
        self.digest = of.fingerprint
        self.inputs: tuple[Field, ...] = (*of.keys, *of.request)
        self.outputs: tuple[Field, ...] = of.features

    @classmethod
    def of(cls, repo: FeatureRepo, service: str) -> PackedService:
        """Packs a service of a repo. Raises InputError if it reads stored features."""
        given = _service(repo, service)
        if given.views:
            raise InputError(
                f"expected a service that reads no view, came {service}, which reads {', '.join(given.views)}",
                next_step="stored features are joined by FeatureRepo.historical_features (or `skewless backfill`); over a "
                "frame that has them, transform() takes the plugins one by one",
            )
        dir, config, settings = repo._given
        packed = cls(
            files=dict(_files(Path(dir), repo)),
            settings=dict(settings),
            config=None if config is None else Path(config).read_bytes(),
            service=service,
        )
        if packed.digest != given.fingerprint:
            raise InputError(
                f"expected the definitions of {dir} as they were read, came others",
                next_step="read them again: repo.check()",
            )
        return packed

    def transform(self, frame: pa.RecordBatch, *, errors: str = "null") -> Transformed:
        """The service's features of a frame with its keys and request columns; what failed is null."""
        features, failed, messages = self._repo._repo.compute(self.name, frame)
        return Transformed(features, failed, tuple(RowFailure(*of) for of in messages))

    def __reduce__(self) -> tuple[object, ...]:
        return (PackedService, self._packed)


def _service(repo: FeatureRepo, name: str) -> Any:
    for service in repo.services:
        if service.name == name:
            return service
    names = ", ".join(service.name for service in repo.services)
    raise InputError(f"expected a service of the feature repo, came {name!r}", next_step=f"it has {names or 'none'}")


def _files(dir: Path, repo: FeatureRepo) -> Any:
    """The definitions, the plugins, and the plugins' certificates."""
    for path in sorted(dir.iterdir()):
        if path.suffix in (".yaml", ".yml") and path.is_file():
            yield path.name, path.read_bytes()
    for transform in repo.transforms:
        name = transform.plugin
        if name.startswith("sha256:"):
            # It has no name of its own, and so no certificate that could be found by it.
            name = os.path.join("plugins", f"{transform.digest}.wasm")
        yield name, repo.plugin(transform.name).wasm
        certificate = Path(name).with_suffix(".certificate.json")
        if (dir / certificate).is_file():
            yield str(certificate), (dir / certificate).read_bytes()
