#!/bin/sh
# infra/build.sh serving|training TAG [ARGUMENTS OF docker build...]
#
# Builds an image on the Python whose digest is in infra/python.lock. The first time there is no
# such file: the registry is asked for the digest of the tag below, and the file, to be committed,
# keeps it. To move to another Python, change the tag and delete the file.
set -eu
tag=python:3.11.13-slim-bookworm

case "${1:-}" in serving | training) image=$1 ;; *)
    echo "Uso: infra/build.sh serving|training ETIQUETA" >&2
    exit 2 ;;
esac
name=${2:?"falta la etiqueta de la imagen"}
shift 2
cd "$(dirname "$0")/.."
lock=infra/python.lock

if [ ! -s "$lock" ]; then
    digest=$(docker buildx imagetools inspect "$tag" --format '{{.Manifest.Digest}}')
    if ! printf '%s\n' "$digest" | grep -Eqx 'sha256:[0-9a-f]{64}'; then
        echo "El registro de imágenes no dice qué huella tiene $tag: no se construye nada." >&2
        exit 4
    fi
    printf '%s@%s\n' "${tag}" "$digest" >"$lock.new"
    mv "$lock.new" "$lock"
fi
python=$(cat "$lock")
case "$python" in "$tag"@sha256:*) ;; *)
    echo "$lock no es de $tag sino de $python: bórralo para fijar otra vez la huella." >&2
    exit 6 ;;
esac
exec docker build --file "infra/$image.Dockerfile" --build-arg "PYTHON_IMAGE=$python" --tag "$name" "$@" .
