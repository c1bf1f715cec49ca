"""``python -m supply_chain.sbom FOLDER``: bills of materials in CycloneDX 1.6, as JSON.

One of the whole project (Python packages, jars, Prism's module) and one of each image. Made from
the locks alone: each component with the SHA-256 of every file that may be installed as it.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component as Entry
from cyclonedx.model.component import ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from . import inventory, licenses
from .inventory import Component

IMAGES = ("serving", "training")


def bill(name: str, components: list[Component]) -> str:
    """Return the bill of materials of something as JSON.

    Raises:
        ValueError: it does not conform to the schema.
    """
    version = tomllib.loads((inventory.ROOT / "pyproject.toml").read_text())["project"]["version"]
    bom = Bom()
    root = Entry(
        name=name,
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=name,
        licenses=[LicenseExpression("Apache-2.0")],
    )
    bom.metadata.component = root
    entries = [_entry(component) for component in components]
    bom.components.update(entries)
    bom.register_dependency(root, entries)
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise ValueError(f"CycloneDX: {wrong}")
    return text


def _entry(component: Component) -> Entry:
    group, _, name = component.name.rpartition(":")
    license = licenses.license_of(component)
    told: list[LicenseExpression | DisjunctiveLicense] = []
    if license != licenses.UNKNOWN:
        expression = licenses.is_spdx(license)
        told = [LicenseExpression(license) if expression else DisjunctiveLicense(name=license)]
    marker = [Property(name="python:marker", value=component.marker)] if component.marker else []
    return Entry(
        name=name,
        group=group or None,
        version=component.version,
        type=ComponentType.LIBRARY,
        bom_ref=component.purl + (f"?marker={component.marker}" if component.marker else ""),
        purl=PackageURL.from_string(component.purl),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha) for sha in component.sha256],
        licenses=told,
        properties=marker,
    )


def main(folder: Path) -> None:
    """Write the bills of the project and of its images."""
    folder.mkdir(parents=True, exist_ok=True)
    bills = {"spotify-mlops": inventory.everything()}
    bills |= {
        f"spotify-mlops-{image}": inventory.python(f"requirements-{image}.lock") for image in IMAGES
    }
    for name, components in bills.items():
        file = folder / f"{name}.cdx.json"
        file.write_text(bill(name, components), encoding="utf-8")
        sys.stdout.write(f"{file}: {len(components)} componentes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
