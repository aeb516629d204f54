# Two commands do everything on a fresh machine with Python 3.11 to 3.13 and make: `make demo` and `make test`.
PYTHON ?= $(shell for v in 3.11 3.12 3.13 3; do python$$v -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo python$$v && break; done)
VENV   := .venv
BIN    := $(CURDIR)/$(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo test check detectors release-paper clean

demo: $(VENV)/.host detectors  ## quantize the shipped float model, prove it, run the loop for a few seconds
	@echo "== the shipped float model, quantized to int8 without data and held against itself"
	@$(BIN)/python -m convert.quantize --out demo-out/bundle
	@echo "== the device's loop on a drawn face, 5 seconds, with the bundle just made"
	@$(BIN)/fer-edge run --camera synthetic --duration 5 --bundle demo-out/bundle --log demo-out/log
	@echo "== the journal's newest segment, its first line and its last"
	@f=$$(ls -t demo-out/log/*.jsonl | head -1); echo "$$f: $$(wc -l <"$$f") lines"; head -1 "$$f"; tail -1 "$$f"
	@echo "== measured here: labels and logits of int8 against float on images of no one; the loop's frames, drops and readings."
	@echo "   Not measured here: accuracy and AUC (models/paper/CARD.md has them, on FER2013), a real camera, a Raspberry Pi."

test: $(VENV)/.test detectors  ## everything that can be tested here; FER2013=PATH names the data set
	@$(BIN)/python -m pytest

check: $(VENV)/.test  ## style, imports and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

detectors: $(VENV)/.host
	@$(BIN)/fer-edge detectors install >/dev/null

# Everything in models/paper/ but the training itself, from a trained float model: make release-paper FER2013=… RUN=…
release-paper: $(VENV)/.host detectors
	@test -n "$(FER2013)" -a -n "$(RUN)" || { echo "make release-paper FER2013=data set RUN=folder of convert.train" >&2; exit 2; }
	@test -f $(RUN)/stand-in.npz || $(BIN)/python -m convert.calibration $(RUN)/model.keras
	@$(BIN)/python -m convert.quantize --model $(RUN)/model.keras --name paper --data $(FER2013) --out models/paper --threads 2
	@$(BIN)/python -m convert.evaluate models/paper --data $(FER2013) --out models/paper/report
	@$(BIN)/python -m convert.mapping --data $(FER2013) --detector blazeface-short-range --bundle models/paper --json > $(VENV)/detection.json
	@mv $(VENV)/detection.json models/paper/report/
	@$(BIN)/python -m convert.card

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found; name one: make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no environment could be made; on Debian: apt install python3-venv" >&2; exit 2; }

$(VENV)/.host: $(VENV)/bin/python pyproject.toml
	@echo "setting up $(VENV) (once)" >&2
	@$(PIP) install -e '.[host]'
	@touch $@

$(VENV)/.test: $(VENV)/.host
	@$(PIP) install -e '.[host,test]'
	@touch $@

clean:
	@rm -rf $(VENV) .cache demo-out
