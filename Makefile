# make run | test | bench | chaos | soak | rehearsal | loop-test | lab | lab-test | stop | lock (PARAMS=params/charts.yaml for another)
PARAMS ?= params/local.yaml
# What JupyterLab is told besides: make lab LAB_OPTIONS="--no-browser --port=9000"
LAB_OPTIONS ?=
PYTHON ?= python3.11
VENV := .venv
STAMP := $(VENV)/.locks
PLATFORM := $(VENV)/.platform
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup platform run test bench chaos soak rehearsal loop-test lab lab-test stop lock licenses sbom audit-deps

help: ## Muestra esta ayuda
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Prepara .venv con las versiones exactas de requirements.lock

# Done again only when a lock or the project's own metadata changes.
$(STAMP): requirements.lock requirements-bootstrap.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Hace falta Python 3.11 ($(PYTHON)); di cuál con PYTHON=..."; exit 1; }
	@echo "Preparando el entorno de Python en $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# Pulumi, which only the platform's program and its tests need: not compiled, as most of it is never
# imported.
$(PLATFORM): $(STAMP) requirements-platform.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-platform.lock
	@touch $(PLATFORM)

platform: $(PLATFORM) ## Añade a .venv lo que necesita infra/platform (Pulumi)

run: $(STAMP) ## Hace todo: servicios, eventos, seis cuadernos, modelo, despliegue, informes
	@$(BIN)/python -m spotify_mlops run --params $(PARAMS)

test: $(PLATFORM) ## Revisa el código y pasa todas las pruebas
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/unit -n auto
	$(BIN)/python -m pytest tests/integration -n 3 --dist loadfile --no-loadscope-reorder

bench: $(STAMP) ## Mide el rendimiento, con sus referencias en la misma ejecución
	@for figure in pipeline freshness endpoint sinks growth backlog sources engines recovery dashboard; do \
		$(BIN)/python -m spotify_mlops bench $$figure --params $(PARAMS) || exit $$?; done

chaos: $(STAMP) ## Mata procesos a mitad y compara el resultado (ENGINE=, SEED=, EVENTS=, RUNS=, KILLS=, NOTEBOOKS=, OUTAGE=)
	@PYTHONPATH=tests $(BIN)/python -m chaos --engine $(or $(ENGINE),prism) --seed $(or $(SEED),7) --events $(or $(EVENTS),520000) \
		--runs $(or $(RUNS),2) --kills $(or $(KILLS),64) --notebooks $(or $(NOTEBOOKS),6) --outage $(or $(OUTAGE),60)

soak: $(STAMP) ## Un mes simulado de todo en marcha: mide lo que crece por día (DAYS=, CLOCK=)
	@PYTHONPATH=tests $(BIN)/python -m chaos.soak --days $(or $(DAYS),30) --clock $(or $(CLOCK),3600)

rehearsal: $(STAMP) ## Ensaya aquí el perfil de la nube: solo cambian las direcciones (docs/nube.md)
	REHEARSAL=whole $(BIN)/python -m pytest tests/integration/test_rehearsal.py

loop-test: $(STAMP) ## Prueba la vida entera del modelo, en directo, con tres semillas (docs/vida_del_modelo.md)
	LOOP=whole $(BIN)/python -m pytest tests/integration/test_whole_loop.py

lab: $(STAMP) ## Abre los cuadernos en JupyterLab (LAB_OPTIONS="--no-browser --port=9000", por ejemplo)
	@$(BIN)/python -m spotify_mlops up
	@$(BIN)/jupyter lab --config=infra/lab/config.py $(LAB_OPTIONS)

lab-test: $(STAMP) ## Prueba los cuadernos en JupyterLab, en Chromium, como quien los lee (docs/pagina.md)
	LAB=whole $(BIN)/python -m pytest tests/integration/test_lab.py

stop: ## Detiene todo lo que esta carpeta tiene en marcha; los datos quedan
	@test ! -x $(BIN)/python || $(BIN)/python -m spotify_mlops down

licenses: $(PLATFORM) ## Licencia de cada paquete, jar y módulo; falla si la política no la admite
	@PYTHONPATH=infra $(BIN)/python -m supply_chain.licenses

sbom: $(PLATFORM) ## Lista de componentes (CycloneDX) del proyecto y de sus imágenes, en sbom/
	@PYTHONPATH=infra $(BIN)/python -m supply_chain.sbom sbom

audit-deps: $(STAMP) ## Vulnerabilidades conocidas de lo fijado (1: hay; 4: no se ha podido saber)
	@PYTHONPATH=infra $(BIN)/python -m supply_chain.audit

# Versions that are pinned already stay; an image's are those of requirements.lock.
COMPILE := $(BIN)/uv pip compile --quiet --no-header --no-emit-index-url --generate-hashes --python-version 3.11

lock: $(STAMP) ## Fija las dependencias nuevas y sus hashes; las fijadas siguen
	$(COMPILE) --universal --all-extras --group dev pyproject.toml -o requirements.lock
	@for image in serving training pipeline; do \
		$(COMPILE) --no-annotate --python-platform x86_64-unknown-linux-gnu --extra $$image \
			--constraints requirements.lock pyproject.toml -o requirements-$$image.lock || exit $$?; done
	$(COMPILE) --universal --no-annotate --group build --constraints requirements.lock -o requirements-build.lock
	$(COMPILE) --universal --no-annotate --group platform --constraints requirements.lock -o requirements-platform.lock
	$(BIN)/python -m local_services.jars
