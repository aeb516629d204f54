# Two commands do everything on a fresh machine with Python 3.11 to 3.13 and make: `make demo` and `make test`.
# compared with the peers: those of seven classes; large once it is made
MODELS = edge nano $(if $(LARGE)$(wildcard models/large/bundle.json),large) paper
PYTHON ?= $(shell for v in 3.11 3.12 3.13 3; do python$$v -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo python$$v && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
PIP_SHOWN := $(BIN)/python -m pip --disable-pip-version-check
PIP    := $(PIP_SHOWN) -q

.PHONY: demo docs figures test fuzz test-backends test-browser test-engines test-system test-fleet test-booted test-arm64 test-arm64-deploy test-vm test-vm-quick soak check detectors release release-models train-models train-ready train-teacher1 train-teacher2 train-teacher3 train-large train-edge train-edge-crops train-large-crops train-nano peers clean

demo: $(VENV)/.host  ## quantizes the shipped float model, checks parity, runs the loop for a few seconds
	@$(BIN)/fer-edge demo --out demo-out

test: $(VENV)/.test detectors  ## all tests that this machine can run, on all cores; FER2013=PATH names the data set
	@$(BIN)/python -m pytest -n auto --dist worksteal

fuzz: $(VENV)/.test  ## hostile inputs for every reader of files, answers and settings, other ones each time (MINUTES= sets the length)
	@$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),60)

test-backends: .venv-jax/.ready  ## training on JAX, in an environment without TensorFlow
	@KERAS_BACKEND=jax .venv-jax/bin/python -m pytest -n 2 tests/backends

test-engines: .venv-engines/.ready detectors  ## archives on a Ray cluster of two nodes, over S3 and HTTP, in an environment of its own
	@.venv-engines/bin/python -m pytest tests/engines

test-browser: $(VENV)/.browser detectors  ## the live, review and parity pages in the system's Chromium, and the way from a camera to an own bundle
	@$(BIN)/python -m pytest tests/browser

test-system: $(VENV)/.test detectors  ## traced runs, failing cameras, brokers, deploys, a short soak; needs Debian's strace and GStreamer
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/system --ignore tests/system/test_booted.py

test-fleet: $(VENV)/.fleet detectors  ## Ansible rolls three OpenSSH servers forward and back, one refuses; needs root and Debian's openssh-server, rsync
	@$(BIN)/python -m pytest tests/fleet

test-booted: $(VENV)/.test detectors  ## the service under its own systemd, booted in namespaces; needs root
	@$(BIN)/python -m pytest tests/system/test_booted.py

# ARM64_SUITES="bookworm trixie" tests both systems (minutes each); default: bookworm
test-arm64: $(VENV)/.test detectors  ## the device package on emulated arm64, and the commands of device/README.md on an arm64 Debian
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/arm64 --ignore tests/arm64/test_deploy.py

test-arm64-deploy: $(VENV)/.test detectors  ## deploys to an emulated arm64 Debian; about five minutes
	@$(BIN)/python -m pytest tests/arm64/test_deploy.py

# VM_SUITE=bookworm boots Bookworm; VM_CUTS= sets the number of power cuts; tests/vm/README.md says what the host needs
test-vm: $(VENV)/.test detectors  ## the device package on a booted arm64 Debian: V4L2, USB video, libcamera, systemd, power cuts
	@$(BIN)/python -m tests.vm.results

test-vm-quick: $(VENV)/.test detectors  ## of test-vm a boot, a USB camera, a fault of V4L2 and a power cut
	@$(BIN)/python -m tests.vm.results --quick

soak: $(VENV)/.test detectors  ## half an hour of injected faults (MINUTES= sets the length); checks that the journal accounts for every second
	@$(BIN)/python -m tests.system.soak --minutes $(or $(MINUTES),30) --out tests/system/results

docs: $(VENV)/.docs  ## builds the documentation's site in .cache/site; a warning, a link to nowhere or an unknown anchor fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --config-file docs/mkdocs.yml

figures: $(VENV)/.test  ## writes the READMEs' tables from the committed results
	@$(BIN)/python -m convert.readme && $(BIN)/python -m tests.bench.figures && $(BIN)/python -m tests.bench.many_devices_figures

.venv-jax/.ready: pyproject.toml
	@$(PYTHON) -m venv .venv-jax && .venv-jax/bin/python -m pip --disable-pip-version-check -q install -e '.[jax,test]'
	@touch $@

.venv-engines/.ready: pyproject.toml  # uv, for pip needs many minutes to choose versions of s3fs and what it needs
	@$(PYTHON) -m venv .venv-engines && .venv-engines/bin/python -m pip --disable-pip-version-check -q install 'uv>=0.8,<1'
	@.venv-engines/bin/uv pip install -q --compile-bytecode --python .venv-engines/bin/python -e '.[ray,remote,engines]'
	@touch $@

check: $(VENV)/.test  ## style, imports, types and spelling
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/codespell

release: $(VENV)/.dev  ## builds wheel and sdist in dist/, checks them, runs the wheel in a clean environment
	@rm -rf dist .cache/release && mkdir -p .cache/release/empty
	@$(BIN)/python -m build --outdir dist . >.cache/release/build.log || { cat .cache/release/build.log >&2; exit 1; }
	@$(BIN)/python -m twine check --strict dist/*
	@$(PYTHON) -m venv .cache/release/env
	@.cache/release/env/bin/python -m pip --disable-pip-version-check -q install dist/*.whl
	@cd .cache/release/empty && env -u PYTHONPATH XDG_DATA_HOME=$(CURDIR)/.cache/release/data sh -ec '\
	  ../env/bin/python -c "import cv2; from fer_edge.synthetic_face import face_frame; cv2.imwrite(\"face.png\", face_frame(0.0))"; \
	  ../env/bin/fer-edge --version; \
	  ../env/bin/fer-edge verify; \
	  ../env/bin/fer-edge predict face.png'
	@ls -l dist

detectors: $(VENV)/.host
	@$(BIN)/fer-edge detectors install >/dev/null

# Three teachers, then large from their answers, then edge and nano from large's, then edge-crops and large-crops, which are
# released as edge and large, from edge and large: make train-models FER2013=data set VOTES=FER+ votes. On an accelerator:
# pip install '.[jax]' 'jax[cuda12]', then
# KERAS_BACKEND=jax make -j3 train-models TRAIN='python -m convert.train' …; with -j3 runs that do not wait for each other share it.
# An interrupted run continues. EPOCHS=N shortens every run.
RUNS  ?= runs
# else JAX reserves three quarters of the memory for one run
export XLA_PYTHON_CLIENT_PREALLOCATE ?= false
TRAIN ?= $(BIN)/python -m convert.train
STEP   = @$(TRAIN) --data $(FER2013) --out $(RUNS)/$(1) $(if $(wildcard $(RUNS)/$(1)/checkpoint.npz),--resume) $(if $(EPOCHS),--epochs $(EPOCHS))
TRAINED_TEACHERS = $(foreach n,1 2 3,$(RUNS)/teacher$(n))
train-models: train-large-crops train-nano  ## RUNS=folder of the runs
train-ready: $(if $(filter file,$(origin TRAIN)),$(VENV)/.host)
	@test -n "$(FER2013)" -a -n "$(VOTES)" || { echo "make train-models FER2013=data set VOTES=FER+ votes" >&2; exit 2; }
train-teacher1 train-teacher3: train-teacher%: train-ready
	$(call STEP,teacher$*) --preset teacher --seed $* --votes $(VOTES)
train-teacher2: train-ready
	$(call STEP,teacher2) --preset teacher --seed 2
train-large: train-teacher1 train-teacher2 train-teacher3
	$(call STEP,large) --preset large --teacher $(TRAINED_TEACHERS)
train-edge train-nano: train-%: train-large
	$(call STEP,$*) --preset $* --teacher $(RUNS)/large
train-edge-crops: train-edge
	$(call STEP,edge-crops) --preset edge-crops --init $(RUNS)/edge --teacher $(RUNS)/large
train-large-crops: train-edge-crops
	$(call STEP,large-crops) --preset large-crops --init $(RUNS)/large --teacher $(RUNS)/large $(RUNS)/edge-crops

# make release-edge FER2013=… RUN=… writes models/edge from a trained float model (a folder of convert.train).
# VOTES=table of FER+ votes (convert/README.md): for edge-votes, which has FER+'s eight classes, and for edge and edge-mixed, which
# are judged by the raters' majority too
# make release-models FER2013=… EDGE=… NANO=… VOTES=… does this for all that are named, then measures the comparison and writes the README's figures.
release-models: peers $(if $(EDGE_VOTES),bundle-edge-votes)  ## FER2013=data set EDGE=folder of convert.train NANO= LARGE= EDGE_VOTES=the same
	@$(BIN)/python -m convert.readme

peers: $(VENV)/.test $(if $(EDGE),bundle-edge) $(if $(NANO),bundle-nano) $(if $(LARGE),bundle-large)  ## compares our models with those of package registries, in one run
	@test -n "$(FER2013)" || { echo "make $(or $(MAKECMDGOALS),peers) FER2013=data set" >&2; exit 2; }
	@$(BIN)/python -m tests.bench.peers --data $(FER2013) --part test $(MODELS:%=--bundle models/%) --out models/peers >/dev/null

bundle-edge: release = $(EDGE)
bundle-nano: release = $(NANO)
bundle-large: release = $(LARGE)
bundle-edge-votes: release = $(EDGE_VOTES)
release-%: release = $(RUN)
votes = $(if $(filter %-edge-votes,$@),--votes $(VOTES))
# chosen on PublicTest: models/choices/nano.md
rounding = $(if $(filter %-nano,$@),--weight-rounding error)
# all faces of PublicTest: at 1,500 the interval of a crop's cost is ±1.6 points
crop_faces = 3589
bundle-% release-%: $(VENV)/.host detectors
	@test -n "$(FER2013)" -a -n "$(release)" || { echo "make release-$* FER2013=data set RUN=folder of convert.train" >&2; exit 2; }
	@test -n "$(VOTES)" -o -z "$(votes)$(filter edge edge-mixed,$*)" || { echo "make $@ needs VOTES=table of FER+ votes" >&2; exit 2; }
	@test -f $(release)/synthetic.npz || $(BIN)/python -m convert.synthesize $(release)/model.keras
	@$(BIN)/python -m convert.quantize --model $(release) --name $* --data $(FER2013) $(votes) $(rounding) --out models/$* --threads 2
	@test "$*" != edge-mixed || $(BIN)/python -m convert.thresholds models/$* --data $(FER2013) --votes $(VOTES)
	@$(BIN)/python -m convert.evaluate models/$* --data $(FER2013) $(votes) --out models/$*/report >/dev/null
	@test -z "$(filter edge edge-mixed,$*)" || $(BIN)/python -m convert.evaluate models/$* --data $(FER2013) --votes $(VOTES) --out models/$*/report/votes >/dev/null
	@$(BIN)/python -m convert.layers models/$* --data $(FER2013) $(votes) --out models/$*/report >/dev/null
	@$(BIN)/python -m convert.crops --data $(FER2013) $(votes) --bundle models/$* --sweep --n $(crop_faces) --out models/$*/report/crops.json

# More runtimes for the parity report and the golden vectors of models/NAME: tflite-runtime, TensorFlow, arm64 (emulated)
runtimes-%: $(VENV)/.test .venv-tflite/.ready  ## e.g. runtimes-edge FER2013=…
	@test -n "$(FER2013)" || { echo "make runtimes-$* FER2013=data set" >&2; exit 2; }
	@test -n "$(VOTES)" -o -z "$(votes)" || { echo "make $@ needs VOTES=table of FER+ votes" >&2; exit 2; }
	@mkdir -p .cache/golden-$* models/$*/report/logits
	@$(BIN)/python -m convert.parity models/$* --data $(FER2013) $(votes) --images .cache/held-out-$*.npy
	@$(BIN)/python -m convert.golden models/$* --crops .cache/golden-$*/crops.npy
	@.venv-tflite/bin/python -m fer_edge.record_logits models/$* --runtime tflite-runtime --images .cache/held-out-$*.npy --out models/$*/report/logits/x86_64-tflite-runtime-default.npz
	@.venv-tflite/bin/python -m fer_edge.record_logits models/$* --runtime tflite-runtime --images .cache/golden-$*/crops.npy --out .cache/golden-$*/x86_64-tflite-runtime-default.npz
	@$(BIN)/python -m tests.arm64.logits models/$* --data $(FER2013) $(votes) --out models/$*/report/logits >/dev/null
	@$(BIN)/python -m tests.arm64.logits models/$* --images .cache/golden-$*/crops.npy --out .cache/golden-$* --reference >/dev/null
	@$(BIN)/python -m convert.golden models/$* --recorded .cache/golden-$*/*.npz
	@$(BIN)/python -m convert.parity models/$* --data $(FER2013) $(votes) --compare all --threads 2 --recorded models/$*/report/logits/*.npz --write

.venv-tflite/.ready: pyproject.toml
	@python3.11 -m venv .venv-tflite && .venv-tflite/bin/python -m pip --disable-pip-version-check -q install -e '.[tflite-runtime]'
	@touch $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed, and none was found; name one: make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no environment could be made; on Debian: apt install python3-venv" >&2; exit 2; }

$(VENV)/.host: $(VENV)/bin/python pyproject.toml
	@echo "setting up $(VENV), once: TensorFlow and what it needs, 2.1 GB on the disk; some minutes with a fast connection" >&2
	@$(PIP_SHOWN) install -e '.[host]' >&2
	@touch $@

$(VENV)/.test: $(VENV)/.host
	@$(PIP) install -e '.[host,test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	@$(PIP) install -e '.[host,test,dev]'
	@touch $@

$(VENV)/.fleet: $(VENV)/.test
	@$(PIP) install -e '.[host,test,fleet]'
	@touch $@

$(VENV)/.docs: $(VENV)/.test
	@$(PIP) install -e '.[host,test,docs]'
	@touch $@

$(VENV)/.browser: $(VENV)/.test
	@$(PIP) install -e '.[host,test,browser]'
	@touch $@

clean:
	@rm -rf $(VENV) .venv-jax .venv-tflite .venv-engines .cache demo-out dist
