# The pipeline's commands; `make help` lists them. Needs Python 3.11 and nothing else.
PYTHON ?= python3.11
ifeq (, $(shell command -v $(PYTHON) 2>/dev/null))
PYTHON := python3
endif
ROOT ?= .
SPLIT ?=
EPOCHS ?= 20
PY := .venv/bin/python

# A terminal full of TensorFlow's start-up remarks hides what matters.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help venv test demo pipeline pictures bench clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: .venv/.installed  ## make .venv and install what the pipeline needs

.venv/.installed: requirements.txt pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt requirements-cluster.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

test: .venv/.installed-dev  ## run the linter, the type checker and all tests
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest

demo: EPOCHS = 40  # its 158 training clips make few steps an epoch
demo: venv  ## compose a small data set and run every step on it, under demo/
	$(PY) datasets_utils/0_make_demo_dataset.py --root demo
	@$(MAKE) --no-print-directory pipeline ROOT=demo SPLIT="--group-by song" EPOCHS=$(EPOCHS)
	@echo; echo "The demo's music is composed and synthetic: its numbers show that the pipeline works, no more."

pipeline: venv  ## run every step on your data: make pipeline ROOT=dir [EPOCHS=20] [SPLIT="--group-by song"]
	$(PY) datasets_utils/1_generate_spectrograms.py --root $(ROOT)
	$(PY) datasets_utils/2_assign_genre.py --root $(ROOT)
	$(PY) datasets_utils/3_remove_double_with_priority.py --root $(ROOT)
	$(PY) datasets_utils/4_save_train_and_test.py --root $(ROOT) $(SPLIT)
	$(PY) python/1-training.py --root $(ROOT) --epochs $(EPOCHS)
	$(PY) results_utils/plot_loss_accuracy_curves.py --root $(ROOT)
	$(PY) python/2-testing.py --root $(ROOT)
	$(PY) python/3-format_dataset.py --root $(ROOT)
	$(PY) results_utils/manage_prediction.py --root $(ROOT)
	$(PY) results_utils/plot_style_space.py --root $(ROOT)
	$(PY) results_utils/make_report.py --root $(ROOT)
	@echo; cat $(ROOT)/results/res.txt
	@echo; ls $(ROOT)/results/*.png $(ROOT)/results/*.svg $(ROOT)/results/*.html

CLIP := iron_magpie-the_long_room-03-paper_king-0-29
pictures: demo  ## draw the pictures of the README from the demo, in extras/pictures
	$(PY) python/tag.py demo/datasets/mp3_files/7/$(CLIP).mp3 --plot --output demo/results/taggrams
	mkdir -p extras/pictures
	cp demo/results/taggrams/$(CLIP)_mtt_light.svg extras/pictures/taggram.svg
	cp demo/results/style_space.svg extras/pictures/style_map.svg
	cp demo/results/conf_matr.svg extras/pictures/confusion_matrix.svg

bench: .venv/.installed-dev  ## measure speed, memory and start-up (extras/benchmarks/SPEED.md)
	$(PY) extras/benchmarks/step1_speed.py
	$(PY) extras/benchmarks/scale.py
	$(PY) extras/benchmarks/input_speed.py
	$(PY) -m pip download --quiet --no-deps --dest .venv musicnn==0.1.0
	$(PY) extras/benchmarks/featurize_speed.py --make 24 --wheel .venv/musicnn-0.1.0-py3-none-any.whl
	$(PY) extras/benchmarks/format_memory.py

clean:  ## remove what `make demo` made
	rm -rf demo
