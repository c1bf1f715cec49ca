"""``python -m supply_chain.audit``: pip-audit over all locks, against the OSV database.

Exit status: 0, none is known; 1, there are known vulnerabilities; 4, it could not be asked about
all of them. A database that does not answer has found nothing, which is not the same as nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from . import inventory

FOUND, UNREACHABLE = 1, 4
_ABSENT = (
    "No se sabe si hay vulnerabilidades: la base de datos OSV no ha contestado ({reason}). "
    "Hace falta conexión a Internet; repite cuando la haya."
)


def main(arguments: list[str]) -> int:
    """Audit and return the exit status; arguments are given to pip-audit (``--osv-url``)."""
    locks = [word for lock in inventory.WHOLE for word in ("--requirement", lock)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv"),
            *("--format", "json", "--disable-pip", "--require-hashes", "--progress-spinner", "off"),
            *(*locks, *arguments),
        ],
        cwd=inventory.ROOT,
        capture_output=True,
        text=True,
    )
    try:
        answer = json.loads(done.stdout)["dependencies"]
    except ValueError:
        lines = done.stderr.strip().splitlines() or [f"código {done.returncode}"]
        return _unreachable(lines[-1][:200])
    skipped = [item for item in answer if "skip_reason" in item]
    found = [item for item in answer if item.get("vulns")]
    for item in found:
        sys.stdout.write("".join(f"{line}\n" for line in _as_lines(item)))
    if found:
        sys.stderr.write(f"{len(found)} paquetes con vulnerabilidades conocidas.\n")
        return FOUND
    if skipped or not answer:
        return _unreachable(f"{len(skipped)} paquetes sin respuesta")
    sys.stdout.write(f"{len(answer)} paquetes de Python: ninguna vulnerabilidad conocida.\n")
    return 0


def _as_lines(item: dict[str, Any]) -> list[str]:
    return [
        f"{item['name']} {item['version']}: {found['id']}, arreglada en "
        f"{', '.join(found['fix_versions']) or 'ninguna versión'}"
        for found in item["vulns"]
    ]


def _unreachable(reason: str) -> int:
    sys.stderr.write(_ABSENT.format(reason=reason) + "\n")
    return UNREACHABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
