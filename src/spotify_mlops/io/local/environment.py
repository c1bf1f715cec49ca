"""What of the present environment the processes that the project starts may have.

A shell's environment holds secrets of its owner's other work. A process gets what is named here,
and by its starter what it needs besides (``credentials.variables``). Parameters are not passed on
as variables: a process is given the params file that is in force.
"""

from __future__ import annotations

import os

_OF_ALL = {
    *("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR"),
    *("VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    *("JAVA_HOME", "JDK_JAVA_OPTIONS"),
    *("SPOTIFY_MLOPS_HOME", "SPOTIFY_MLOPS_STATE", "SPOTIFY_MLOPS_OWNER"),
}
_BEGINNINGS = ("LC_", "XDG_", "PYTHON", "OMP_", "OPENBLAS_", "MKL_", "POLARS_", "_RJEM_")
_TO_GO_OUT = {
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NIX_SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    *("CURL_CA_BUNDLE", "HTTPLIB2_CA_CERTS", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"),
    *("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT"),
    *("CLOUDSDK_CONFIG", "GCE_METADATA_HOST", "GCE_METADATA_IP", "STORAGE_EMULATOR_HOST"),
}


def inherited() -> dict[str, str]:
    """Return what every process gets: where things are, and how text and numbers are handled."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _OF_ALL or name.startswith(_BEGINNINGS)
    }


def outbound() -> dict[str, str]:
    """Return what a process that talks to the cloud needs besides: proxies, roots, identity."""
    return {name: value for name, value in os.environ.items() if name in _TO_GO_OUT}
