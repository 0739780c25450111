"""The bill of materials: what is linked into Onsale, and (scope `excluded`) what only its build takes."""

import subprocess
import uuid
from datetime import datetime, timezone

from crates import LOCK, REPOSITORY, checksums
from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

VERSION = SchemaVersion.V1_6


def of(crates, root):
    """As JSON, and how many components that are. The same commit gives the same text."""
    sums = checksums()
    shipped = {id: crate for id, crate in crates.items() if crate.kinds & {"normal", "build"}}
    components = {id: component(crate, sums, id == root) for id, crate in shipped.items()}
    bom = Bom(components=[one for id, one in components.items() if id != root])
    bom.metadata.component = components[root]
    bom.metadata.timestamp = committed_at()
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"onsale {bom.metadata.timestamp} {LOCK.read_text()}")
    for id, crate in shipped.items():
        needed = (crate.needs["normal"] | crate.needs["build"]) & shipped.keys()
        bom.register_dependency(components[id], [components[one] for one in needed])
    text = make_outputter(bom, OutputFormat.JSON, VERSION).output_as_string(indent=1)
    wrong = JsonStrictValidator(VERSION).validate_str(text)
    if wrong:
        raise SystemExit(f"supply: the bill of materials is not valid: {wrong}")
    return text, len(components) - 1


def component(crate, sums, own):
    package = crate.package
    name, version = package["name"], package["version"]
    licence = (package["license"] or "").replace("/", " OR ")
    sum = sums.get((name, version))
    return Component(
        type=ComponentType.APPLICATION if own else ComponentType.LIBRARY,
        name=name,
        version=version,
        description=package["description"],
        bom_ref=f"{name}@{version}",
        # Our own crates are published nowhere.
        purl=None if crate.is_ours else PackageURL("cargo", name=name, version=version),
        scope=ComponentScope.REQUIRED if "normal" in crate.kinds else ComponentScope.EXCLUDED,
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sum)] if sum else [],
        external_references=[ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(package["repository"]))]
        if package["repository"]
        else [],
    )


def committed_at():
    """When the last commit was made; outside of a repository, now."""
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode != 0:
        return datetime.now(timezone.utc)
    return datetime.fromtimestamp(int(done.stdout), timezone.utc)
