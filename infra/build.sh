#!/bin/sh
# infra/build.sh serving|training|pipeline TAG [ARGUMENTS OF docker build...]
#
# Builds an image on the Python whose digest is in infra/python.lock; that of the pipeline takes
# Beam's own entry from the SDK's image, whose digest is in infra/beam.lock. The first time there is
# no such file: the registry is asked for the digest of the tag below, and the file, to be
# committed, keeps it. To move to another version, change the tag and delete the file.
set -eu
python_tag=python:3.11.13-slim-bookworm
beam_tag=apache/beam_python3.11_sdk:2.77.0

case "${1:-}" in serving | training | pipeline) image=$1 ;; *)
    echo "Uso: infra/build.sh serving|training|pipeline ETIQUETA" >&2
    exit 2 ;;
esac
name=${2:?"falta la etiqueta de la imagen"}
shift 2
cd "$(dirname "$0")/.."

# pinned TAG LOCK: writes the image with its digest.
pinned() {
    tag=$1 lock=$2
    if [ ! -s "$lock" ]; then
        digest=$(docker buildx imagetools inspect "$tag" --format '{{.Manifest.Digest}}')
        if ! printf '%s\n' "$digest" | grep -Eqx 'sha256:[0-9a-f]{64}'; then
            echo "El registro de imágenes no dice qué huella tiene $tag: no se construye nada." >&2
            exit 4
        fi
        printf '%s@%s\n' "${tag}" "$digest" >"$lock.new"
        mv "$lock.new" "$lock"
    fi
    found=$(cat "$lock")
    case "$found" in "$tag"@sha256:*) echo "$found" ;; *)
        echo "$lock no es de $tag sino de $found: bórralo para fijar otra vez la huella." >&2
        exit 6 ;;
    esac
}

python=$(pinned "$python_tag" infra/python.lock)
if [ "$image" = pipeline ]; then
    beam=$(pinned "$beam_tag" infra/beam.lock)
    set -- --build-arg "BEAM_IMAGE=$beam" "$@"
fi
exec docker build --file "infra/$image.Dockerfile" --build-arg "PYTHON_IMAGE=$python" --tag "$name" "$@" .
